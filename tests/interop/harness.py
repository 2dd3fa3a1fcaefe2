"""What every check needs: virtual environments, a running emulator, child processes with a deadline."""

import contextlib
import hashlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import threading

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent


class Failed(Exception):
    """A check that did not hold; the text says what was seen."""


def check(holds, text):
    if not holds:
        raise Failed(text)


def environment(folder, name):
    """The Python of the virtual environment for requirements-NAME.txt, made if it is not there yet."""
    requirements = HERE / f"requirements-{name}.txt"
    version = f"{sys.version_info.major}.{sys.version_info.minor}\n".encode()
    wanted = hashlib.sha256(version + requirements.read_bytes()).hexdigest()
    venv = folder / name
    python, stamp = venv / "bin" / "python", venv / "requirements.sha256"
    if stamp.exists() and stamp.read_text() == wanted and python.exists():
        return python
    print(f"  installing {requirements.name} into {venv}", flush=True)
    shutil.rmtree(venv, ignore_errors=True)
    run([sys.executable, "-m", "venv", venv], timeout=120)
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    run([*install, "--requirement", requirements], timeout=600)
    run([python, "-m", "pip", "check", "--disable-pip-version-check"], timeout=120)
    stamp.write_text(wanted)
    return python


def run(command, *, timeout=300, env=None, stdout=None, cwd=None):
    """Runs a command to its end; its error output is shown only if it fails."""
    command = [str(part) for part in command]
    full = {key: value for key, value in os.environ.items() if "proxy" not in key.lower()}
    # The pip of a virtual environment may need the proxy, the clients never do.
    if "pip" in command:
        full = dict(os.environ)
    full.update(env or {})
    out = open(stdout, "wb") if stdout else subprocess.PIPE
    try:
        done = subprocess.run(
            command, env=full, stdout=out, stderr=subprocess.PIPE, timeout=timeout, cwd=cwd
        )
    except subprocess.TimeoutExpired:
        raise Failed(f"{' '.join(command)}: not done after {timeout} s") from None
    finally:
        if stdout:
            out.close()
    if done.returncode != 0:
        said = ((done.stdout or b"") + (done.stderr or b""))[-4000:].decode(errors="replace")
        raise Failed(f"{' '.join(command)}: exit {done.returncode}\n{said}")
    return (done.stdout or b"").decode(errors="replace")


def client_env(base_url):
    """The environment that leads an unchanged client to the emulator."""
    return {"SF_EMULATOR": base_url, "PYTHONPATH": str(HERE / "shim"), "TZ": "UTC"}


@contextlib.contextmanager
def emulator(command):
    """Starts an emulator that prints one line of JSON with `base_url` and `login`, and ends it."""
    process = subprocess.Popen(
        [str(part) for part in command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
        start_new_session=True,
    )
    deadline = threading.Timer(900, process.kill)
    deadline.start()
    try:
        line = process.stdout.readline()
        check(line.strip(), f"{command}: ended before it said where it listens")
        yield json.loads(line) | {"process": process}
    finally:
        deadline.cancel()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=20)
        process.stdin.close()
        process.stdout.close()


def advance(where, seconds):
    """Lets time go by in the emulated org."""
    check("process" in where, "only an emulator that was started here can be advanced")
    where["process"].stdin.write(f"advance {seconds}\n".encode())
    where["process"].stdin.flush()
    check(where["process"].stdout.readline().strip(), "the emulator did not answer")
