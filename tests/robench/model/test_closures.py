from robench.model.closures import closure_values


def made(value):
    def inner():
        return value, later, nothing

    nothing = None
    if value == "full":
        later = "late"
    return inner


def test_values_are_returned_without_none_and_empty_cells():
    assert sorted(closure_values(made("full"))) == ["full", "late"]
    assert closure_values(made("short")) == ["short"]
    assert closure_values(made) == []
