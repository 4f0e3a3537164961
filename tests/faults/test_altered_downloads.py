"""A download whose bytes were altered on the way is refused, and none of it is taken for the data."""

import contextlib
import gzip
import http.server
import io
import tarfile
import threading

import pytest
import torchvision.datasets

from model_zoo.datasets import CIFAR10, MNIST, SVHN
from robench.errors import InputError
from tests.faults.fuzz.data_files import CIFAR, IDX, MAT


def archive():
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        for name in [*CIFAR10.files["train"], *CIFAR10.files["test"], "batches.meta"]:
            member = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            content = CIFAR[3] if name == "batches.meta" else CIFAR[1]
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return stream.getvalue()


@pytest.fixture
def served():
    """Serve well-formed files that are not the published ones; gives the address and what was asked for."""
    requests = []

    class Altered(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            requests.append(self.path)
            content = (
                archive() if "cifar" in self.path else MAT[0] if "mat" in self.path else gzip.compress(IDX[0])
            )
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Altered) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/", requests
        server.shutdown()
        thread.join()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("recipe", [CIFAR10(), SVHN(), MNIST()], ids=["cifar10", "svhn", "mnist"])
def test_altered_bytes_are_refused(tmp_path, monkeypatch, served, recipe):
    address, requests = served
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "url", f"{address}cifar-10-python.tar.gz")
    listing = {"test": [f"{address}x.mat", *torchvision.datasets.SVHN.split_list["test"][1:]]}
    monkeypatch.setattr(torchvision.datasets.SVHN, "split_list", listing)
    monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", [address])
    with contextlib.redirect_stdout(io.StringIO()), pytest.raises(InputError) as error:
        recipe("test", root=tmp_path, download=True)
    assert requests
    assert error.value.exit_code == 2
    assert "--data-root DIR" in str(error.value)
    with pytest.raises(InputError):  # nor is what was fetched taken for the data afterwards
        recipe("test", root=tmp_path, download=False)
