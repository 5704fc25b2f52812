# shellcheck shell=bash
# Sourced, in the repository's root: a Python that has the torch which integrations/pytorch is written for.

# find_torch_python INSTALL: sets `python`. That is MILLRACE_PYTORCH_PYTHON, else that of build/pytorch-venv, which is made
# with torch from PyPI, some gigabytes, unless INSTALL or MILLRACE_PYTORCH_INSTALL is no: then whatever python3 serves if it has torch. Ends the shell with
# 1 if the Python that is named has none, and with 77 where torch can't be had.
find_torch_python() {
  local venv=$PWD/build/pytorch-venv wanted=integrations/pytorch/tests/requirements.txt base
  mkdir -p build
  python=${MILLRACE_PYTORCH_PYTHON:-}
  if [ -n "$python" ]; then
    has_torch "$python" || { say "MILLRACE_PYTORCH_PYTHON is $python, and can't be used"; exit 1; }
  elif cmp -s $wanted "$venv/installed.txt"; then
    python=$venv/bin/python
  elif [ "$1" = no ] || [ "${MILLRACE_PYTORCH_INSTALL-}" = no ]; then
    python=python3
    has_torch $python || exit 77
  else
    rm -rf "$venv"
    base=/usr/bin/python3
    [ -x $base ] || base=python3
    $base -m venv "$venv"
    python=$venv/bin/python
    if ! "$venv/bin/pip" install --quiet --disable-pip-version-check --no-compile -r $wanted >build/pytorch-venv.log 2>&1; then
      tail -n 3 build/pytorch-venv.log >&2
      say "torch could not be installed from PyPI"
      exit 77
    fi
    cp $wanted "$venv/installed.txt"
  fi
}

# has_torch PYTHON: the version that this is written for, too; says what it has not.
has_torch() {
  command -v "$1" >/dev/null && "$1" integrations/pytorch/build_backend/find_torch.py >/dev/null
}

# build_quietly LOG COMMAND...: on failure the errors of the log, and 1.
build_quietly() {
  local log=$1
  shift
  "$@" >>"$log" 2>&1 && return
  grep -E "error|FAILED|rror:" "$log" | head -n 40 >&2 || true
  tail -n 20 "$log" >&2
  return 1
}
