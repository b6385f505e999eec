#!/usr/bin/env bash
# Meta-train on a Cloud TPU: make it, install, start, look, resume, delete.
#
#   launch/tpu_pod.sh create  NAME --zone=ZONE --type=v5litepod-8 [--spot] [--disk=DISK] [--runtime=IMAGE]
#   launch/tpu_pod.sh queue   NAME ...           the same, through the queue for scarce TPUs
#   launch/tpu_pod.sh state   NAME --zone=ZONE
#   launch/tpu_pod.sh install NAME --zone=ZONE --wheel=dist/meta_shrink-0.1.0-py3-none-any.whl
#   launch/tpu_pod.sh start   NAME --zone=ZONE -- --config=... --workdir=...
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
  [[ $count =~ ^[0-9]+$ ]] || usage_error "--type=$type has no number of chips at its end."
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
  need type
  local chosen more
  chosen=$(image) || exit 2
  mapfile -t more < <(extras)
  tpu_vm create "$name" --accelerator-type="$type" --version="$chosen" "${more[@]}"
}

queue() {
  need type
  local chosen more
  chosen=$(image) || exit 2
  mapfile -t more < <(extras)
  run gcloud compute tpus queued-resources create "$name" --node-id="$name" --zone="$zone" \
    --accelerator-type="$type" --runtime-version="$chosen" "${more[@]}"
}

state() { tpu_vm describe "$name" '--format=value(state)'; }

install() {
  need wheel
  [[ $dry_run == yes || -f $wheel ]] || usage_error "--wheel=$wheel does not exist; pip wheel makes it."
  tpu_vm scp "$wheel" "$name:" --worker=all
  on all "sudo apt-get update -q && sudo apt-get install -qy $python-venv && $python -m venv meta_shrink \
&& meta_shrink/bin/pip install -q './$(basename "$wheel")[tpu,report]'"
  if [[ -n $disk ]]; then
    on 0 "mkdir -p disk && { mountpoint -q disk || sudo mount /dev/sdb disk; } && sudo chown \$USER disk"
  fi
}

start() { # One program drives all chips; on several hosts the others' servers hold the library.
  [[ ${#arguments[@]} -gt 0 ]] || usage_error "start needs -- and the flags of meta-shrink train."
  local address=local library=""
  if [[ -n $runtime ]]; then
    address=$name library="TPU_LOAD_LIBRARY=0 "
  fi
  on 0 "${library}nohup meta_shrink/bin/meta-shrink train --strategy=tpu --tpu=$address \
$(printf '%q ' "${arguments[@]}")>> meta_shrink.log 2>&1 < /dev/null & echo \$! > meta_shrink.pid"
}

logs() { on 0 "tail -n 50 -F meta_shrink.log"; }

stop() { on 0 'kill -TERM $(cat meta_shrink.pid)'; }

resume() { # What was taken away is made anew; the workdir has all that the run needs.
  [[ ${#arguments[@]} -gt 0 ]] || usage_error "resume needs -- and the flags of meta-shrink train."
  if [[ $dry_run == yes || $(state) != READY ]]; then
    need type
    need wheel
    need disk # Without it the workdir went with the TPU.
    tpu_vm delete "$name" --quiet || true
    create
    install
  fi
  start
}

delete() {
  if [[ -n $queued ]]; then
    run gcloud compute tpus queued-resources delete "$name" --zone="$zone" --force --quiet
  else
    tpu_vm delete "$name" --quiet
  fi
}

need() { [[ -n ${!1} ]] || usage_error "$verb needs --$1=..."; }

verb="" name="" zone="" type="" runtime="" disk="" wheel="" spot="" queued="" dry_run=no
python=python3.11
arguments=()
while [[ $# -gt 0 ]]; do
  case $1 in
    --help | -h) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0" && exit 0 ;;
    --dry_run) dry_run=yes ;;
    --spot) spot=yes ;;
    --queued) queued=yes ;;
    --zone=* | --type=* | --runtime=* | --disk=* | --wheel=* | --python=*)
      flag=${1%%=*}
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
[[ $name =~ ^[a-z]([a-z0-9-]*[a-z0-9])?$ ]] || usage_error "$verb needs the name of a TPU, of letters, digits and -."
need zone
[[ ${#arguments[@]} -eq 0 || $verb == start || $verb == resume ]] || usage_error "$verb takes no flags of meta-shrink train."
"$verb"
