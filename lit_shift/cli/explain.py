"""Errors of commands in one sentence, and exit codes that scripts can use. Needs no torch."""

import os
import re
import sys
import traceback
from collections.abc import Container, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from hydra.errors import CompactHydraException, MissingConfigException, OverrideParseException
from omegaconf import OmegaConf
from omegaconf.errors import InterpolationToMissingValueError, MissingMandatoryValue

from lit_shift.runs.config import CONF, composed
from lit_shift.utils.command import each, misspelt, parsed, split, typed
from lit_shift.utils.console import is_first_process, say
from lit_shift.utils.errors import InputError, unknown


@contextmanager
def plain_errors(config_name: str) -> Iterator[None]:
    """Print an error of the user in one sentence and exit with code 2; exit with 130 on Ctrl-C.

    ``HYDRA_FULL_ERROR=1`` gives Hydra's own report.
    """
    if os.environ.get("HYDRA_FULL_ERROR") == "1" and "LIT_SHIFT_ERRORS" not in os.environ:
        yield
        return
    # Otherwise Hydra reports errors itself and exits. Processes that join this one's run inherit both variables.
    os.environ |= {"HYDRA_FULL_ERROR": "1", "LIT_SHIFT_ERRORS": "plain"}
    try:
        split(sys.argv[1:])
        yield
    except (KeyboardInterrupt, SystemExit) as error:
        # Lightning turns a Ctrl-C outside the training loop into a silent exit.
        if not isinstance(error.__context__ or error, KeyboardInterrupt):
            raise
        say(
            "Interrupted." + (" The same command continues from the last checkpoint." if config_name == "train" else "")
        )
        sys.exit(130)
    except BrokenPipeError:  # as of --help | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for Python not to complain at exit
        sys.exit(1)
    except Exception as error:
        report(error, config_name)
        sys.exit(2)


def report(error: Exception, config_name: str = "train", told: Container[str] = ()) -> str:
    """Print an error: in one sentence if it is the user's, with its traceback if it is a bug.

    Args:
        told: sentences that have been printed before and are not repeated.

    Returns:
        The sentence, or the name of the bug.
    """
    sentence = explain(error, config_name)
    if sentence is None:
        traceback.print_exception(error)
    elif sentence in told:
        pass
    elif is_first_process():
        say(f"error: {sentence}")
    else:
        say(f"error in process {os.environ['LOCAL_RANK']}: {sentence}", anyone=True)
    return sentence or f"{type(error).__name__}: {error}"


def explain(error: BaseException, config_name: str) -> str | None:
    """Return the sentence for an error of the user, or None for a bug."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, InputError):
            return str(cause)
        if isinstance(cause, MissingMandatoryValue | InterpolationToMissingValueError):
            named = re.search(r"issing mandatory value: (\S+)", str(cause))  # has the key as the user types it
            key = named[1] if named else str(cause.full_key)
            return f"{key} must be given: type {key}=VALUE."
        if isinstance(cause, MissingConfigException) and cause.missing_cfg_file:
            return _explain_choice(cause.missing_cfg_file, cause.options)
        if isinstance(cause, ValueError) and "Config group override" in str(cause):
            return "A group takes a name, or a list of names, but not null."
        if isinstance(cause, OSError) and cause.filename:
            return f"{cause.strerror}: {cause.filename}."
        if isinstance(cause, UnicodeDecodeError) and (file := _config_read(cause)):
            return f"{file} is not {cause.encoding.upper()} text ({cause.reason}): save it as UTF-8."
        if isinstance(cause, RuntimeError | MemoryError) and (sentence := _explain_machine(cause)):
            return sentence
        if type(cause).__module__.startswith("ray."):
            return f"Ray: {str(cause).strip().splitlines()[0]} The same command continues what is not finished."
        if type(cause).__module__.startswith("submitit."):
            return f"SLURM: {str(cause).strip().splitlines()[-1]}"
        cause = cause.__cause__
    if not isinstance(error, CompactHydraException):
        return None
    text = " ".join(str(error).split())
    if match := re.match(r"Could not (?:override|append to|delete from).*?'((?!hydra[.])[\w./@]+)'", text):
        return _explain_key(match[1], config_name)
    if match := re.match(r"Could not override '(hydra[.]\S+)'", text):
        return f"There is no option {match[1]}."  # Hydra suggests adding it, but nothing would read it
    if isinstance(error, OverrideParseException):
        return str(misspelt(str(error.override), sys.argv))
    if match := re.match(r"Ambiguous value for argument '(.*)' 1\.", text):
        key, _, value = match[1].partition("=")
        return (
            f"{match[1]} are several values: type -m for a run of each, [...] for a list, or for one value with a "
            f"comma in it {typed(key, value)}"
        )
    return text


def _config_read(error: BaseException) -> str | None:
    """Return the config file that Hydra was reading when an error occurred that does not name it."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    hydra = [frame for frame in frames if frame.f_globals["__name__"].startswith("hydra.") and "f" in frame.f_locals]
    return str(hydra[-1].f_locals["f"].name) if hydra else None


def _explain_choice(missing: str, choices: Sequence[str] | None) -> str:
    """Sentence for a choice of a group that does not exist."""
    group, _, name = missing.rpartition("/") if missing.startswith("hydra/") else missing.partition("/")
    if group == "hydra/launcher" and name in ("ray", "submitit_slurm", "submitit_local"):
        extra = "sweep-ray" if name == "ray" else "sweep-slurm"
        return (
            f"The launcher {name} is not installed: 'uv sync --extra {extra}' or \"pip install 'lit-shift[{extra}]'\"."
        )
    return str(unknown(group, name, choices or sorted(file.stem for file in (CONF / group).glob("*.yaml"))))


def _explain_machine(error: BaseException) -> str | None:
    """Sentence for errors caused by the machine's memory or another process, which each library words differently."""
    if isinstance(error, MemoryError) or re.search("can't allocate memory|out of memory", str(error)):
        return (
            "There is not enough memory: fewer frames or images at once need less (protocol.batch, data.batch_size, "
            "data.eval_batch_size), as do smaller ones (protocol.canvas, data.size)."
        )
    if re.search("gloo|NCCL", str(error)) and re.search("peer|remote|timed? ?out|abort", str(error), re.IGNORECASE):
        return "Another process of this run has failed; its own message says why."
    return None


def _explain_key(key: str, config_name: str) -> str:
    """Sentence for a config key that does not exist, with the most similar key of the same part of the config."""
    if key == "sweep":
        return "A sweep is an addition to the config: type -m +sweep=NAME."
    if key == "runs":  # of train.py
        return "eval.py writes its results to out=FOLDER."
    options, words = split(sys.argv[1:])
    groups = [folder.name for folder in CONF.iterdir() if folder.is_dir()]
    overrides = parsed(words)
    chosen = [word for override in overrides if override.key_or_group in groups for word in each(override)[:1]]
    node: Any = OmegaConf.to_container(composed(config_name, chosen, options.config_dir))
    known, part = "", key
    for part in key.split("."):
        if not isinstance(node, dict) or part not in node:
            break
        known, node = f"{known}{part}.", node[part]
    else:
        if any(override.is_add() and override.key_or_group == key for override in overrides):
            return f"{key} is in the config already: type {key}=VALUE, without the +."
        return f"Not all runs of this sweep have {key}: give what has it a command of its own."
    names = set(node if isinstance(node, dict) else ()) - {"_target_", "_partial_", "hydra"}
    if not known and config_name == "eval":
        names |= set(groups)  # one that is not chosen yet
    return str(unknown("config key", f"{known}{part}", sorted(f"{known}{name}" for name in names)))
