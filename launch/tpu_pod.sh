#!/usr/bin/env bash
# Meta-train on a Cloud TPU: make it, install, start, look, resume, delete.
#
#   launch/tpu_pod.sh create  NAME --zone=ZONE --type=v5litepod-8 [--spot] [--disk=DISK] [--runtime=IMAGE]
#   launch/tpu_pod.sh queue   NAME ...           the same, through the queue for scarce TPUs
#   launch/tpu_pod.sh state   NAME --zone=ZONE
#   launch/tpu_pod.sh install NAME --zone=ZONE --wheel=dist/meta_shrink-0.1.0-py3-none-any.whl [--disk=DISK] [--python=python3.11]
#   launch/tpu_pod.sh start   NAME --zone=ZONE [--disk=DISK] [--runtime=IMAGE] -- --config=... --workdir=...
#   launch/tpu_pod.sh logs    NAME --zone=ZONE
#   launch/tpu_pod.sh stop    NAME --zone=ZONE   SIGTERM: saved, exit code 42
#   launch/tpu_pod.sh resume  NAME (flags of create, --wheel) -- --config=... --workdir=...
#   launch/tpu_pod.sh delete  NAME --zone=ZONE   (--queued for one that was queued)
#
# What stands behind -- goes to `meta-shrink train`. --dry_run prints the gcloud commands instead.
# --disk=projects/P/zones/Z/disks/D is mounted at disk/ in the home folder: a spot TPU takes its own
# disk with it when it goes, so let the workdir lie there (--workdir=disk/run). docs/scaling.md.
set -euo pipefail

usage_error() {
  echo "error: $1" >&2
  exit 2
}

run() {
  if [[ $dry_run == yes ]]; then
    printf '%q ' "$@"
    echo
  else
    "$@"
  fi
}

tpu_vm() { run gcloud compute tpus tpu-vm "$@" --zone="$zone"; }
on() { tpu_vm ssh "$name" --worker="$1" --command="$2"; }

hosts() { # By the number of chips or cores, of which one host has 8 at most.
  local count=${type##*-}
  case $type in
    v5litepod-* | v6e-* | v2-* | v3-* | v4-* | v5p-*) ;;
    *) usage_error "--type=$type is not known; expected one such as v5litepod-8, v6e-8 or v5p-8." ;;
  esac
  [[ $count =~ ^[1-9][0-9]*$ ]] || usage_error "--type=$type has no number of chips at its end."
  [[ $count -le 8 ]] && echo one || echo several
}

image() {
  if [[ -n $runtime ]]; then
    echo "$runtime"
    return
  fi
  local count
  count=$(hosts) || exit 2
  [[ $count == one ]] || usage_error "--type=$type has several hosts, which TensorFlow drives \
through a server that only the images tpu-vm-tf-VERSION-pod-pjrt start; name one by --runtime."
  case $type in
    v5litepod-*) echo v2-alpha-tpuv5-lite ;;
    v5p-*) echo v2-alpha-tpuv5 ;;
    v6e-*) echo v2-alpha-tpuv6e ;;
    *) echo tpu-ubuntu2204-base ;;
  esac
}

extras() {
  [[ -z $spot ]] || echo --spot
  [[ -z $disk ]] || echo "--data-disk=source=$disk,mode=read-write"
}

create() {
  check_create
  local more
  mapfile -t more < <(extras)
  tpu_vm create "$name" --accelerator-type="$type" --version="$(image)" "${more[@]}"
}

check_create() {
  need type
  image > /dev/null
}

queue() {
  check_create
  local more
  mapfile -t more < <(extras)
  run gcloud compute tpus queued-resources create "$name" --node-id="$name" --zone="$zone" \
    --accelerator-type="$type" --runtime-version="$(image)" "${more[@]}"
}

state() { tpu_vm describe "$name" '--format=value(state)'; }

listed_state() { # Nothing for a TPU that is not there, which `describe` tells as any other error.
  local all
  all=$(tpu_vm list '--format=value(name.basename(),state)') || exit 1
  awk -v name="$name" '$1 == name { print $2 }' <<< "$all"
}

install() { # pip keeps what is installed where a new wheel has the same version, unless it is forced.
  check_install
  local file=./${wheel##*/} pip="meta_shrink/bin/pip install -q"
  local python=${python:-python3.11}
  tpu_vm scp "$wheel" "$name:" --worker=all
  on all "sudo apt-get update -q && sudo apt-get install -qy $python-venv && $python -m venv meta_shrink \
&& $pip '$file[tpu,report]' && $pip --force-reinstall --no-deps $file"
  [[ -z $disk ]] || on 0 "$mount"
}

check_install() {
  need wheel
  [[ ${wheel##*/} =~ ^[A-Za-z0-9_.+-]+\.whl$ && $wheel != *:* ]] || usage_error "--wheel=$wheel is no \
name of a wheel; pip wheel makes one."
  [[ $dry_run == yes || -f $wheel ]] || usage_error "--wheel=$wheel does not exist; pip wheel makes it."
  [[ ${python:-python3.11} =~ ^python3\.[0-9]+$ ]] || usage_error "--python=$python is no name such as python3.11."
}

start() { # One program drives all chips; on several hosts the others' servers hold the library.
  [[ ${#arguments[@]} -gt 0 ]] || usage_error "start needs -- and the flags of meta-shrink train."
  local address=local library="" first=""
  if [[ -n $runtime ]]; then
    address=$name library="TPU_LOAD_LIBRARY=0 "
  fi
  # A host that was restarted has lost its mount, and a run there would begin anew on its own disk.
  [[ -z $disk ]] || first="{ $mount; } || exit 1; "
  on 0 "${first}if pgrep -F $pid -f '$program' > /dev/null 2>&1; then \
echo 'error: a run is going on there; look at its logs, or stop it first.' >&2; exit 2; fi; \
${library}nohup meta_shrink/bin/$program --strategy=tpu --tpu=$address \
$(printf '%q ' "${arguments[@]}")>> meta_shrink.log 2>&1 < /dev/null & echo \$! > $pid"
}

logs() { on 0 "tail -n 50 -F meta_shrink.log"; }

stop() {
  on 0 "pkill -TERM -F $pid -f '$program' 2> /dev/null || { echo 'error: no run is going on there.' >&2; exit 1; }"
}

resume() { # What was taken away is made anew; the workdir has all that the run needs.
  [[ ${#arguments[@]} -gt 0 ]] || usage_error "resume needs -- and the flags of meta-shrink train."
  need disk # Without it the workdir went with the TPU.
  check_create
  check_install
  local found=PREEMPTED
  if [[ $dry_run == no ]]; then
    found=$(listed_state) || usage_error "gcloud does not tell the state of $name (see above): nothing was changed."
  fi
  case $found in
    READY) ;;
    "" | PREEMPTED | TERMINATED)
      [[ -z $found ]] || tpu_vm delete "$name" --quiet
      create
      install
      ;;
    *) usage_error "$name is $found, neither READY nor taken away: wait, or delete it, and resume then." ;;
  esac
  start
}

delete() {
  if [[ -n $queued ]]; then
    run gcloud compute tpus queued-resources delete "$name" --zone="$zone" --force --quiet
  else
    tpu_vm delete "$name" --quiet
  fi
}

check_flags() { # What a command would pass over is refused.
  local takes flag
  case $verb in
    create | queue) takes="type runtime disk spot" ;;
    install) takes="wheel python disk" ;;
    start) takes="runtime disk" ;;
    resume) takes="type runtime disk spot wheel python" ;;
    delete) takes="queued" ;;
    *) takes="" ;;
  esac
  for flag in type runtime disk spot wheel python queued; do
    [[ -z ${!flag} || " $takes " == *" $flag "* ]] || usage_error "$verb takes no --$flag; leave it out."
  done
}

need() { [[ -n ${!1} ]] || usage_error "$verb needs --$1=..."; }

verb="" name="" zone="" type="" runtime="" disk="" wheel="" spot="" queued="" dry_run=no
python=""
arguments=()
pid=meta_shrink.pid program="meta-shrink train"
mount="mkdir -p disk && { mountpoint -q disk || sudo mount /dev/sdb disk; } && sudo chown \$USER disk"
while [[ $# -gt 0 ]]; do
  case $1 in
    --help | -h) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0" && exit 0 ;;
    --dry_run) dry_run=yes ;;
    --spot) spot=yes ;;
    --queued) queued=yes ;;
    --zone=* | --type=* | --runtime=* | --disk=* | --wheel=* | --python=*)
      flag=${1%%=*}
      [[ -n ${1#*=} ]] || usage_error "$1 is empty; give its value, or leave it out."
      printf -v "${flag#--}" '%s' "${1#*=}"
      ;;
    --)
      shift
      arguments=("$@")
      break
      ;;
    -*) usage_error "unknown flag $1; launch/tpu_pod.sh --help shows those that there are." ;;
    *)
      if [[ -z $verb ]]; then verb=$1; elif [[ -z $name ]]; then name=$1; else
        usage_error "unexpected argument $1; flags of meta-shrink train stand behind --."
      fi
      ;;
  esac
  shift
done
case $verb in
  create | queue | state | install | start | logs | stop | resume | delete) ;;
  *) usage_error "the first argument is '$verb'; expected create, queue, state, install, start, logs, stop, resume or delete." ;;
esac
[[ $name =~ ^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$ ]] || usage_error "$verb needs the name of a TPU, of at most 63 small letters, digits and -."
need zone
check_flags
[[ ${#arguments[@]} -eq 0 || $verb == start || $verb == resume ]] || usage_error "$verb takes no flags of meta-shrink train."
"$verb"
