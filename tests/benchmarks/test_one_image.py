"""What the way of one image counts: functions of the kernel, once each, in the order of their first call."""

from benchmarks.one_image import functions_of
from robench.plan.spec import content_hash
from robench.plurals import counted


def test_each_function_of_the_kernel_is_noted_once_and_nobody_elses():
    def call():
        counted(2, "image")
        content_hash({"a": [1]})
        counted(3, "image")
        sorted([2, 1], key=lambda number: -number)

    functions = functions_of(call)
    names = [name for _, name in functions]
    assert names[0] == "counted"
    assert names.index("plural") < names.index("content_hash")
    assert len(functions) == len(set(functions))
    assert {file for file, _ in functions} == {"plurals.py", "plan/spec.py"}
