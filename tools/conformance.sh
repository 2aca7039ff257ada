#!/usr/bin/env bash
# Run OpenStack's own acceptance tests, tempest's tempest.api.image, against a Tintype that this script
# starts, with pre-provisioned accounts on the built-in identity. Tests that cannot run without a
# compute service are named in tests/conformance-exceptions.txt.
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

# A web server on loopback, with images to import and to name as locations.
mkdir -p "$work/www"
head -c 1000000 /dev/urandom > "$work/www/image.raw"
qemu-img create -q -f qcow2 "$work/www/image.qcow2" 10M
web_port=$("$bin/python" -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$bin/python" -m http.server "$web_port" --bind 127.0.0.1 --directory "$work/www" >/dev/null 2>&1 &
servers+=($!)

# Everything that the tests know of: several stores with weights, one of them the web; locations in both
# forms; a cache. Downloads may come from the web server above.
features=(
  TINTYPE_STORES_LOCAL_TYPE=file TINTYPE_STORES_OTHER_TYPE=file TINTYPE_STORES_OTHER_FOLDER=other
  TINTYPE_STORES_WEB_TYPE=http
  TINTYPE_IMPORTS_ALLOWED_NETWORKS=127.0.0.0/8 "TINTYPE_IMPORTS_PORTS=80,443,$web_port"
  TINTYPE_LOCATIONS_SHOW_MULTIPLE=true TINTYPE_LOCATIONS_SHOW_DIRECT_URL=true
  TINTYPE_CACHE_FOLDER=cache
)

account() { # account NAME PROJECT ROLE... : a user and its entry in tempest's accounts file
  local name=$1 project=$2; shift 2
  "$bin/tintype" user create "$name" --password conformance --project "$project" --role "$1" --data-dir "$server_dir" >/dev/null
  printf -- '- {username: %s, project_name: %s, password: conformance, domain_name: Default, roles: [%s]' "$name" "$project" "$*"
  [ "$1" = admin ] && printf ', types: [admin]'
  echo '}'
}
# What tempest skips by itself: a test that it has switched off, the other value of a setting, and a second
# node, which SQLite does not have (tests/e2e/test_many_processes.py has several).
not_here='launchpad.net/bugs/2030527|do_secure_hash is enabled|No image_remote service'

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
http_image=http://127.0.0.1:$web_port/image.raw
http_qcow2_image=http://127.0.0.1:$web_port/image.qcow2
image_caching_enabled=true
[image-feature-enabled]
import_image=true
http_store_enabled=true
do_secure_hash=true
manage_locations=true
store_weight_enabled=true
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
  if grep 'SKIPPED' "$work/$1.results" | grep -v -E "$not_here" >&2; then
    echo "Tests were skipped, and nobody says why." >&2; exit 1
  fi
}

export PATH=$work/venv/bin:$PATH  # tempest's test runner starts "python3" by name
exceptions=$root/tests/conformance-exceptions.txt
lists=tempest.api.image.v2.test_images.ListUserImagesTest
{ cat "$exceptions"; echo "$lists"; } > "$work/exclude-strict.txt"
cp "$exceptions" "$work/exclude-lenient.txt"

start strict "${features[@]}"
tempest_run strict true "${1:-^tempest.api.image}"
start lenient TINTYPE_IMAGES_TOLERATED_FORMAT_CHECKS=all
tempest_run lenient false "$lists"
