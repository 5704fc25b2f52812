# Sourced by run and test: the packages this needs, and a quiet build. Everything is said on standard error.

say() { printf '%s\n' "$*" >&2; }

# The package that serves a line of packages.txt ("a | b"): installed, else known to apt, else the first.
installed() { grep -qx "$1 installed" <<<"$package_states"; }
known() { [ -n "$(apt-cache policy "$1" 2>/dev/null | awk '/Candidate:/ && $2 != "(none)"')" ]; }

# missing_packages KIND...: names what packages.txt lists for these kinds and this machine has not.
missing_packages() {
  local line kind choices choice found package_states
  package_states=$(dpkg-query -W -f '${Package} ${db:Status-Status}\n')
  while read -r line; do
    line=${line%%#*}
    kind=${line##* }
    [[ -n $line && " $* " == *" $kind "* ]] || continue
    IFS='|' read -ra choices <<<"${line% *}"
    found=
    for choice in "${choices[@]}"; do
      if installed "${choice// /}"; then found=yes; fi
    done
    [ -z "$found" ] || continue
    for choice in "${choices[@]}"; do
      if [ -z "$found" ] && known "${choice// /}"; then found=${choice// /}; fi
    done
    echo "${found:-${choices[0]// /}}"
  done < <(sed 's/[[:space:]]*$//' packages.txt)
}

# ensure_packages INSTALL KIND...: installs what is missing, or names it and exits 2 if INSTALL is no.
ensure_packages() {
  local install=$1 root=() missing
  shift
  if ! command -v dpkg-query >/dev/null; then
    say "This is neither Debian nor Ubuntu: what packages.txt lists is taken to be installed."
    return
  fi
  mapfile -t missing < <(missing_packages "$@")
  [ ${#missing[@]} -gt 0 ] || return 0
  if [ "$install" = no ]; then
    say "Missing packages: ${missing[*]}"
    say "Install them, or run without --no-install as root or with sudo."
    exit 2
  fi
  if [ "$(id -u)" != 0 ]; then
    if ! sudo -n true 2>/dev/null; then
      say "Missing packages, and neither root nor passwordless sudo to install them: ${missing[*]}"
      say "Install them with: sudo apt-get install ${missing[*]}"
      exit 2
    fi
    root=(sudo -n)
  fi
  say "Installing ${missing[*]} ..."
  local log apt=(env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends)
  log=$(mktemp)
  # A list of packages that is stale or absent makes the first try fail; it is fetched once, then.
  if ! "${root[@]}" "${apt[@]}" install "${missing[@]}" >"$log" 2>&1 </dev/null; then
    say "... after updating apt's lists ..."
    "${root[@]}" "${apt[@]}" update >"$log" 2>&1 </dev/null || true
    mapfile -t missing < <(missing_packages "$@")
    if ! "${root[@]}" "${apt[@]}" install "${missing[@]}" >>"$log" 2>&1 </dev/null; then
      cat "$log" >&2
      say "apt-get could not install: ${missing[*]}"
      rm -f "$log"
      exit 2
    fi
  fi
  rm -f "$log"
}

# progress: passes lines to the log; on a terminal also shows the latest one, in place.
progress() {
  local log=$1 line columns
  if [ ! -t 2 ]; then
    cat >>"$log"
    return
  fi
  columns=$(tput cols 2>/dev/null || echo 80)
  while IFS= read -r line; do
    printf '%s\n' "$line" >>"$log"
    [[ $line == \[* || $line == --* ]] && printf '\r\033[K%s' "${line:0:$((columns - 1))}" >&2
  done
  printf '\r\033[K' >&2
}

# build PRESET [--define NAME=VALUE]... [TARGET...]: configures if it must, builds what changed. Silent
# off a terminal unless it fails; then it shows what the compiler said and returns 1.
build() {
  local preset=$1 defines=() targets=()
  shift
  while [ $# -gt 0 ]; do
    if [ "$1" = --define ]; then
      defines+=("-D$2")
      shift
    else
      targets+=("$1")
    fi
    shift
  done
  local folder=build/$preset log=build/$preset/build.log
  # One cache serves every checkout of the same sources.
  export CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1
  mkdir -p "$folder"
  (
    flock 9 # two builds in one folder would spoil each other
    : >"$log"
    if [ ! -e "$folder/build.ninja" ] || [ ${#defines[@]} -gt 0 ]; then
      cmake --preset "$preset" "${defines[@]}" 2>&1 | progress "$log"
      [ "${PIPESTATUS[0]}" = 0 ] || { cat "$log" >&2; say "Configuring $preset failed."; exit 1; }
    fi
    ninja -C "$folder" -j "$(nproc)" "${targets[@]}" 2>&1 | progress "$log"
    [ "${PIPESTATUS[0]}" = 0 ] || { grep -vE '^(\[[0-9]+/[0-9]+\]|-- |Preset |ninja: E|  CMAKE_|  MILLRACE_|$)' "$log" >&2; say "Building $preset failed."; exit 1; }
  ) 9>"$folder/.lock"
}
