"""What securityContext says holds, and a container can't see or reach the host beyond what its spec grants."""
import json
import os
import ssl
import urllib.error
import urllib.request

from harness.cluster import container_status, wait_for

SPLIT = False  # the node alone is asked
CLUSTER = {'images': ('busybox:latest',)}


def pod(name, script='sleep 100000', context=None, volumes=(), mounts=(), **spec):
  return {'apiVersion': 'v1', 'kind': 'Pod', 'metadata': {'name': name}, 'spec': {
      'terminationGracePeriodSeconds': 0, 'volumes': list(volumes), 'containers': [
          {'name': 'c', 'image': 'busybox:latest', 'imagePullPolicy': 'IfNotPresent', 'command': ['/bin/sh', '-c', script],
           'securityContext': context or {}, 'volumeMounts': list(mounts)}], **spec}}


def sh(cluster, name, script, container='c'):
  return cluster.kubectl('exec', name, '-c', container, '--', '/bin/sh', '-c', script).ok()


def status(cluster, name, *fields):
  text = sh(cluster, name, 'cat /proc/self/status')
  found = dict(line.split(':', 1) for line in text.splitlines() if ':' in line)
  return [found[field].strip() for field in fields]


def make(cluster, *pods):
  for one in pods:
    cluster.create(one).ok()
  for one in pods:
    cluster.wait_ready(one['metadata']['name'])


def test_capabilities_and_privileges(cluster):
  make(cluster, pod('plain'), pod('none', context={'capabilities': {'drop': ['ALL']}, 'allowPrivilegeEscalation': False}),
       pod('admin', context={'capabilities': {'add': ['NET_ADMIN'], 'drop': ['CHOWN']}}), pod('full', context={'privileged': True}),
       pod('stuck', context={'readOnlyRootFilesystem': True}))
  # containerd's default set: chown dac_override fowner fsetid kill setgid setuid setpcap net_bind_service net_raw sys_chroot mknod
  # audit_write setfcap
  assert status(cluster, 'plain', 'CapEff', 'CapBnd', 'CapInh') == ['00000000a80425fb', '00000000a80425fb', '0000000000000000']
  assert status(cluster, 'none', 'CapEff', 'NoNewPrivs') == ['0000000000000000', '1']
  assert status(cluster, 'admin', 'CapEff') == [f'{(0xa80425fb | 1 << 12) & ~1:016x}']  # NET_ADMIN more, CHOWN less
  assert status(cluster, 'full', 'CapEff') == [next(l.split()[1] for l in open('/proc/self/status') if l.startswith('CapBnd'))]
  assert sh(cluster, 'admin', 'ip link set lo mtu 60000 && echo made') == 'made\n'
  assert sh(cluster, 'plain', 'ip link set lo mtu 60000 2>/dev/null || echo refused') == 'refused\n'
  assert sh(cluster, 'stuck', 'touch /x 2>/dev/null || echo refused') == 'refused\n'


def test_seccomp(cluster):
  """RuntimeDefault filters; Localhost is a file of the node's; what is missing is told."""
  folder = os.path.join(cluster.data, 'seccomp', 'profiles')
  os.makedirs(folder)
  with open(folder + '/nodirs.json', 'w', encoding='utf-8') as file:
    json.dump({'defaultAction': 'SCMP_ACT_ALLOW', 'syscalls': [{'names': ['mkdir', 'mkdirat'], 'action': 'SCMP_ACT_ERRNO', 'errnoRet': 1}]}, file)
  local = {'seccompProfile': {'type': 'Localhost', 'localhostProfile': 'profiles/nodirs.json'}}
  make(cluster, pod('filtered', context={'seccompProfile': {'type': 'RuntimeDefault'}}), pod('local', context=local))
  assert status(cluster, 'filtered', 'Seccomp') == ['2'] and status(cluster, 'plain', 'Seccomp') == ['0']
  assert sh(cluster, 'filtered', 'unshare -U true 2>/dev/null || echo refused') == 'refused\n'
  assert sh(cluster, 'local', 'mkdir /tmp/x 2>&1 || touch /tmp/y') == "mkdir: can't create directory '/tmp/x': Operation not permitted\n"
  absent = {'seccompProfile': {'type': 'Localhost', 'localhostProfile': 'profiles/absent.json'}}
  cluster.create(pod('absent', context=absent)).ok()
  told = cluster.wait_pod('absent', lambda p: 'waiting' in container_status(p)['state'] and 'seccomp' in container_status(p)['state']['waiting'].get('message', ''))
  assert container_status(told)['state']['waiting']['reason'] == 'CreateContainerError'


def test_sysctls(cluster):
  safe = [{'name': 'net.ipv4.ip_local_port_range', 'value': '40000 50000'}, {'name': 'kernel.shm_rmid_forced', 'value': '1'}]
  make(cluster, pod('tuned', securityContext={'sysctls': safe}))
  assert sh(cluster, 'tuned', 'cat /proc/sys/net/ipv4/ip_local_port_range /proc/sys/kernel/shm_rmid_forced') == '40000\t50000\n1\n'
  assert open('/proc/sys/net/ipv4/ip_local_port_range', encoding='utf-8').read() != '40000\t50000\n', "the host's own"
  cluster.create(pod('unsafe', securityContext={'sysctls': [{'name': 'kernel.msgmax', 'value': '1000'}]})).ok()
  ended = cluster.wait_pod('unsafe', lambda p: p['status']['phase'] == 'Failed')
  assert ended['status']['reason'] == 'SysctlForbidden' and ended['status']['message'] == 'forbidden sysctl: "kernel.msgmax" not allowlisted'


def test_host_namespaces(cluster):
  make(cluster, pod('inside', hostPID=True, hostIPC=True, hostNetwork=True), pod('shared', shareProcessNamespace=True))
  for kind in ('pid', 'ipc', 'net'):
    mine = os.readlink(f'/proc/self/ns/{kind}')
    assert (sh(cluster, 'inside', f'readlink /proc/self/ns/{kind}').strip() == mine) and (
        sh(cluster, 'plain', f'readlink /proc/self/ns/{kind}').strip() != mine), kind
  assert sh(cluster, 'shared', 'ps | grep -c "[s]leep 100000"').strip() == '1' and 'pause' in sh(cluster, 'shared', 'ps')
  # The infra process is seen, and shows nothing of the host.
  assert sh(cluster, 'shared', 'ls /proc/1/root/ 2>/dev/null || true').split() in ([], ['proc'])


def test_what_of_the_host_is_hidden(cluster):
  assert sh(cluster, 'plain', 'head -c1 /proc/kcore | wc -c; ls /sys/firmware | wc -l').split() == ['0', '0']
  for path in ('/proc/sys/kernel/hostname', '/proc/sysrq-trigger', '/proc/irq/default_smp_affinity', '/sys/kernel/uevent_helper'):
    assert sh(cluster, 'plain', f'echo x > {path} 2>/dev/null || echo refused') == 'refused\n', path
  assert sh(cluster, 'plain', 'mkdir /sys/fs/cgroup/memory/x /sys/fs/cgroup/x 2>/dev/null || echo refused') == 'refused\n'
  assert sh(cluster, 'plain', 'mount -t tmpfs none /mnt 2>/dev/null || echo refused') == 'refused\n'
  assert sh(cluster, 'plain', 'unshare -m true 2>/dev/null || echo refused') == 'refused\n'
  # A device node can be made, and not be opened.
  major, minor = os.major(os.stat('/').st_dev), os.minor(os.stat('/').st_dev)
  out = sh(cluster, 'plain', f'mknod /tmp/disk b {major} {minor} && head -c1 /tmp/disk 2>&1 >/dev/null; mknod /tmp/mem c 1 1 && head -c1 /tmp/mem 2>&1 >/dev/null; true')
  assert out.count('Operation not permitted') == 2, out
  processes = sh(cluster, 'plain', 'ps -o pid,args')
  assert 'seapod' not in processes and 'conmon' not in processes, processes


def test_no_link_leads_out(cluster):
  """A volume that one container fills with links to the host gives the next one nothing of it."""
  name = 'links'
  volumes, mounts = [{'name': 'v', 'emptyDir': {}}], [{'name': 'v', 'mountPath': '/v'}]
  spec = pod(name, volumes=volumes, mounts=[{'name': 'v', 'mountPath': '/x', 'subPath': 'etc/shadow'}])
  spec['spec']['initContainers'] = [{'name': 'i', 'image': 'busybox:latest', 'imagePullPolicy': 'IfNotPresent', 'volumeMounts': mounts,
                                     'command': ['/bin/sh', '-c', 'ln -s /etc /v/etc; ln -s ../../../../../../../etc /v/up']}]
  cluster.create(spec).ok()
  told = cluster.wait_pod(name, lambda p: container_status(p)['state'].get('waiting', {}).get('reason') == 'CreateContainerConfigError')
  message = container_status(told)['state']['waiting']['message']
  assert message == 'failed to prepare subPath for volumeMount "v" of container "c"', message
  # Nor does a container's own root: its /etc/hosts is written where the node wrote it.
  make(cluster, pod('rooted', 'rm -rf /etc/passwd; ln -s /proc/1/root/etc /outside; sleep 100000'))
  assert sh(cluster, 'rooted', 'cat /outside/hostname') == 'rooted\n'
  cluster.kubectl('cp', 'rooted:/outside/hostname', os.path.join(cluster.directory, 'copied')).ok()


def test_the_node_asks_who_is_there(cluster):
  """Its port wants a certificate of the cluster's that may."""
  context = ssl._create_unverified_context()
  for path in ('/pods', '/exec/default/plain/c?command=id', '/stats/summary', '/containerLogs/default/plain/c', '/metrics'):
    try:
      urllib.request.urlopen(f'https://127.0.0.1:{cluster.node_port}{path}', context=context)
      raise AssertionError(f'{path} was answered')
    except urllib.error.HTTPError as error:
      assert error.code == 401, (path, error.code)
