"""scripts/quickstart, twice, and its --down, as a person runs them: in a network, mounts and processes of their own, with
/var/lib/seapod and /run/seapod of their own. test/bare/run does it on a bare Debian, too."""
import glob
import os
import subprocess
import tempfile

from harness.cluster import BUILD, ROOT

SPLIT = False
ISOLATED = r'''
set -eu
mount --make-rprivate /
mkdir -p /var/lib/seapod /run/seapod /var/log/pods /var/log/containers
mount --bind "$1" /var/lib/seapod
for directory in /run/seapod /var/log/pods /var/log/containers; do mount -t tmpfs tmpfs $directory; done
ip link set lo up
inventory() {
    cut -d' ' -f2 /proc/mounts
    ip -o link | cut -d: -f2
    nft list tables
    find /run/seapod /var/lib/seapod /var/log/pods /var/log/containers -mindepth 1
    for comm in /proc/[0-9]*/comm; do cat $comm; done | grep -E 'seapod|conmon|crun|sleep' || :
}
inventory >"$2/before"
scripts/quickstart >"$2/first" 2>&1
uid() { kubectl --kubeconfig /var/lib/seapod/kubeconfig get pod hello -o 'jsonpath={.metadata.uid}'; }
uid >"$2/uid-1"
stat -c %a /var/lib/seapod/kubeconfig >"$2/mode"
scripts/quickstart >"$2/second" 2>&1
uid >"$2/uid-2"
inventory >"$2/during"
scripts/quickstart --down >"$2/down" 2>&1
inventory >"$2/after"
scripts/quickstart --down >"$2/down-2" 2>&1
inventory >"$2/after-2"
'''


def test_quickstart_twice_and_down():
  if os.path.realpath(BUILD) != os.path.join(ROOT, 'build'):
    raise Skip('scripts/quickstart uses build/')  # noqa: F821: test/run puts it here
  if glob.glob('/sys/fs/cgroup/seapod') + glob.glob('/sys/fs/cgroup/*/seapod'):
    raise Skip('the control group /seapod is in use: a cluster runs here')  # noqa: F821
  with tempfile.TemporaryDirectory(prefix='seapod-quickstart-') as folder:
    data, notes = os.path.join(folder, 'data'), os.path.join(folder, 'notes')
    os.mkdir(data)
    os.mkdir(notes)

    def note(name):
      with open(os.path.join(notes, name), encoding='utf-8') as file:
        return file.read()

    try:
      subprocess.run(['unshare', '--net', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc', 'bash', '-c', ISOLATED, '-', data,
                      notes], cwd=ROOT, check=True, timeout=300, stdin=subprocess.DEVNULL, env={**os.environ, 'BUILD': 'build'})
    except subprocess.CalledProcessError as error:
      raise AssertionError('\n'.join(f'--- {n}\n{note(n)}' for n in sorted(os.listdir(notes)) if n not in ('before', 'during'))) from error
    first = note('first')
    for text in ('hello   1/1     Running', 'hello from a pod on', 'sh -c echo "hello', 'kubectl exec -it hello -- sh'):
      assert text in first, first
    assert note('mode').strip() == '600'
    assert note('uid-1') and note('uid-1') == note('uid-2')
    assert 'pod/hello unchanged' in note('second')
    before, during = sorted(note('before').splitlines()), sorted(note('during').splitlines())
    assert any('seapod-' in line for line in during) and 'conmon' in during, during
    for after in ('after', 'after-2'):
      left = [line for line in sorted(note(after).splitlines()) if line not in before]
      assert not left, left
  assert not glob.glob('/sys/fs/cgroup/seapod') + glob.glob('/sys/fs/cgroup/*/seapod')
