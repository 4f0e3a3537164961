from robench.run.progress import EVERY, Heartbeat, Quiet


class Ear(Quiet):
    def __init__(self):
        self.heard = []

    def alive(self, text, seconds, passes):
        self.heard.append((text, seconds, passes))


def test_a_long_unit_tells_of_its_passes_now_and_then_and_a_short_one_never():
    now = [0.0]
    ear = Ear()
    heartbeat = Heartbeat(ear, clock=lambda: now[0])
    heartbeat.begin("short")
    heartbeat.on_passes(10)
    heartbeat.begin("long")
    for _ in range(30):
        now[0] += EVERY / 10
        heartbeat.on_passes(5)
    assert [text for text, *_ in ear.heard] == ["long"] * len(ear.heard)
    assert len(ear.heard) in {2, 3}
    assert all(passes == 5 * round(10 * seconds / EVERY) for _, seconds, passes in ear.heard)
