#!/usr/bin/env bash
# Run OpenStack's own acceptance tests, tempest's tempest.api.image, against a Tintype that this script
# starts, with pre-provisioned accounts on the built-in identity. Tests of what Tintype does not serve
# yet are named in tests/conformance-exceptions.txt; that list only ever shrinks.
#   tools/conformance.sh [REGEX]     default: ^tempest.api.image
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
work=$root/.conformance
bin=$root/.venv/bin
if [ ! -f "$work/venv/.ready" ]; then
  echo "Installing tempest into $work/venv …"
  "${PYTHON:-python3}" -m venv "$work/venv"
  "$work/venv/bin/pip" install -qq --disable-pip-version-check 'tempest>=42,<60'
  touch "$work/venv/.ready"
fi
find "$work" -mindepth 1 -maxdepth 1 ! -name venv -exec rm -rf {} +

# One server that refuses mislabelled images, as everybody runs it; and one that lets them in, because
# the list tests upload random bytes under every format.
start() { # start NAME [VARIABLE=value]: a server on a free port; sets url
  server_dir=$work/$1
  mkdir -p "$server_dir"
  : > "$work/$1.out"  # there to be read before the server is
  env "${@:2}" "$bin/tintype" serve --data-dir "$work/$1" --port 0 >"$work/$1.out" 2>"$work/$1.log" &
  servers+=($!)
  url=
  for _ in $(seq 100); do
    url=$(sed -n 's/^Tintype serves images at \([^ ]*\) .*/\1/p' "$work/$1.out")
    [ -n "$url" ] && curl -s -f -o /dev/null "$url/healthcheck" && return
    kill -0 "${servers[-1]}" 2>/dev/null || break
    sleep 0.1
  done
  cat "$work/$1.log"; exit 1
}
servers=()
trap 'kill "${servers[@]}" 2>/dev/null; wait "${servers[@]}" 2>/dev/null || true' EXIT

account() { # account NAME PROJECT ROLE... : a user and its entry in tempest's accounts file
  local name=$1 project=$2; shift 2
  "$bin/tintype" user create "$name" --password conformance --project "$project" --role "$1" --data-dir "$server_dir" >/dev/null
  printf -- '- {username: %s, project_name: %s, password: conformance, domain_name: Default, roles: [%s]' "$name" "$project" "$*"
  [ "$1" = admin ] && printf ', types: [admin]'
  echo '}'
}
tempest_run() { # tempest_run SERVER ENFORCE REGEX
  { for n in 1 2; do
      account "admin$n" "admins$n" admin
      account "member$n" "alpha$n" member
      account "alt$n" "beta$n" member
      account "spare$n" "gamma$n" member
      for project in alpha beta gamma; do account "reader-$project$n" "$project$n" reader; done
    done; } > "$work/accounts-$1.yaml"
  "$work/venv/bin/tempest" init --name "$1" --workspace-path "$work/workspaces.yaml" "$work/run-$1" >/dev/null 2>&1
  cat > "$work/run-$1/etc/tempest.conf" <<C
[DEFAULT]
log_file=$work/run-$1/tempest.log
[auth]
use_dynamic_credentials=false
test_accounts_file=$work/accounts-$1.yaml
[identity]
uri_v3=$url/identity/v3
auth_version=v3
region=RegionOne
v3_endpoint_type=public
[image]
region=RegionOne
build_timeout=60
build_interval=1
disk_formats=raw,qcow2,vmdk,vhd,iso,ami,ari,aki,vdi,ploop
[image-feature-enabled]
import_image=true
os_glance_reserved=true
image_format_enforcement=$2
[service_available]
glance=true
nova=false
cinder=false
neutron=false
swift=false
[oslo_concurrency]
lock_path=$work/run-$1/lock
C
  (cd "$work/run-$1" && tempest run --concurrency 2 --exclude-list "$work/exclude-$1.txt" --regex "$3") | tee "$work/$1.results"
  if grep -q 'SKIPPED' "$work/$1.results"; then
    echo "Tests were skipped that tests/conformance-exceptions.txt does not name." >&2; exit 1
  fi
}

export PATH=$work/venv/bin:$PATH  # tempest's test runner starts "python3" by name
exceptions=$root/tests/conformance-exceptions.txt
lists=tempest.api.image.v2.test_images.ListUserImagesTest
{ cat "$exceptions"; echo "$lists"; } > "$work/exclude-strict.txt"
cp "$exceptions" "$work/exclude-lenient.txt"

start strict
tempest_run strict true "${1:-^tempest.api.image}"
start lenient TINTYPE_IMAGES_TOLERATED_FORMAT_CHECKS=all
tempest_run lenient false "$lists"
