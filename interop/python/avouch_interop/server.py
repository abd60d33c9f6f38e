"""Starts `avouch server` on a throw-away directory: for the Kubernetes suite, and around any command.

    python -m avouch_interop.server COMMAND ...

runs the command with the variables of the server's `bootstrap.env` and ends with its exit code.
"""

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import requests

from .settings import Settings, read_bootstrap

START_LIMIT = 60
PR_SET_PDEATHSIG = 1


def free_port(host: str = "127.0.0.1") -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        return probe.getsockname()[1]


def die_with_parent() -> None:
    """Between fork and exec: the child ends when this process does, however that comes about."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def start(command: list, log: Path, **options) -> subprocess.Popen:
    """Starts a server with its output in a file."""
    with open(log, "ab") as sink:
        return subprocess.Popen(
            list(map(str, command)),
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            preexec_fn=die_with_parent,
            **options,
        )


def stop(process: subprocess.Popen, limit: float = 10) -> None:
    process.terminate()
    try:
        process.wait(limit)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class AvouchServer:
    def __init__(self, binary: str | None = None, **environment: str):
        binary = binary or os.environ.get("AVOUCH_BIN")
        if not binary or not os.access(binary, os.X_OK):
            raise SystemExit(f"AVOUCH_BIN does not name a program: {binary}")
        self.binary = str(Path(binary).resolve())
        self.environment = environment
        self.process = None
        self.agent = None
        self.folder = None

    def __enter__(self) -> "AvouchServer":
        self.folder = Path(tempfile.mkdtemp(prefix="avouch-interop-"))
        self.data = self.folder / "data"
        self.log = self.folder / "server.log"
        self.url = f"http://127.0.0.1:{free_port()}"
        self.agent_state = self.folder / "agent-state"
        socket_path = self.folder / "agent" / "socket"
        self.environment = {"AVOUCH_VPC_AGENT": str(socket_path)} | self.environment
        try:
            # What runs instances; the server finds it when it is there.
            agent = [self.binary, "agent", "--socket", socket_path, "--state", self.agent_state]
            self.agent = start(agent, self.folder / "agent.log")
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def start(self) -> None:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("AVOUCH_")}
        command = [self.binary, "server", "--data", str(self.data), "--listen", self.url.removeprefix("http://")]
        self.process = start(command, self.log, env=inherited | self.environment)
        deadline = time.monotonic() + START_LIMIT
        while not self._ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"the server did not start:\n{self.tail()}")
            time.sleep(0.05)
        self.variables = read_bootstrap(self.data / "bootstrap.env")
        self.settings = Settings.from_environment(self.variables)

    def _ready(self) -> bool:
        if not (self.data / "bootstrap.env").exists():
            return False
        try:
            return requests.get(f"{self.url}/readyz", timeout=2).status_code == 200
        except requests.RequestException:
            return False

    def tail(self, lines: int = 40) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:]) if self.log.exists() else ""

    def __exit__(self, *_outcome) -> None:
        if self.process is not None:
            stop(self.process)
        if self.agent is not None:
            stop(self.agent)
        keep = os.environ.get("INTEROP_KEEP_LOG")
        if keep and self.log.exists():
            shutil.copyfile(self.log, keep)
        shutil.rmtree(self.folder, ignore_errors=True)


def interrupted(number, _frame):
    raise SystemExit(128 + number)


def run_with_server(command: list[str]) -> int:
    signal.signal(signal.SIGTERM, interrupted)
    with AvouchServer() as server:
        state = {"INTEROP_AGENT_STATE": str(server.agent_state)}
        code = subprocess.run(command, env=os.environ | server.variables | state).returncode
        died = server.process.poll()
        if died is not None:
            print(f"the server ended by itself with {died}:\n{server.tail()}", file=sys.stderr)
        return code or (1 if died is not None else 0)


if __name__ == "__main__":
    sys.exit(run_with_server(sys.argv[1:]))
