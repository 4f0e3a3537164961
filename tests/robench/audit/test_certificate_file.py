"""Certificates of one command are not written over by those of another."""

from robench.audit.certificate_file import write_certificates
from robench.record.store import Store
from robench.run.progress import Reporter


class Listener(Reporter):
    def __init__(self):
        self.findings = []

    def finding(self, text):
        self.findings.append(text)


def test_other_certificates_stay_and_the_same_are_not_written_twice(tmp_path):
    store, listener = Store(tmp_path), Listener()
    names = [write_certificates(store, "net", text, listener).name for text in ("a\n", "b\n", "a\n", "b\n")]
    assert names == ["certified-net.csv", "certified-net-2.csv", "certified-net.csv", "certified-net-2.csv"]
    assert (tmp_path / "certified-net.csv").read_text() == "a\n"
    assert (tmp_path / "certified-net-2.csv").read_text() == "b\n"
    first = tmp_path / "certified-net.csv"
    text = f"{first} holds other certificates, which stay; these are in certified-net-2.csv"
    assert listener.findings == [text, text]


def test_a_folder_in_its_place_stays(tmp_path):
    (tmp_path / "certified-net.csv").mkdir()
    assert write_certificates(Store(tmp_path), "net", "a\n", Listener()).name == "certified-net-2.csv"
