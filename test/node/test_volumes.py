"""What containers see of volumes, of their environment and of the files that every pod gets."""
import ssl
import urllib.error
import urllib.request
from harness.cluster import Failed, container_status, wait_for

CLUSTER = {'images': ('busybox:latest',)}
TOKEN = '/var/run/secrets/kubernetes.io/serviceaccount'


def pod(name, *mounts, volumes=(), container=None, script='sleep 1000', **spec):
  one = {'name': 'c', 'image': 'busybox:latest', 'imagePullPolicy': 'IfNotPresent', 'command': ['/bin/sh', '-c', script],
         'volumeMounts': [{'name': n, 'mountPath': p, **more} for n, p, more in mounts], **(container or {})}
  return {'apiVersion': 'v1', 'kind': 'Pod', 'metadata': {'name': name, 'labels': {'app': name}},
          'spec': {'terminationGracePeriodSeconds': 0, 'containers': [one], 'volumes': list(volumes), **spec}}


def sh(cluster, name, script):
  return cluster.kubectl('exec', name, '--', '/bin/sh', '-c', script).ok()


def config_map(cluster, name, **data):
  cluster.create({'apiVersion': 'v1', 'kind': 'ConfigMap', 'metadata': {'name': name}, 'data': data}, verb='apply').ok()


def test_api_access(cluster):
  """The token of the default service account is taken by the API server for that account's."""
  cluster.create(pod('access')).ok()
  cluster.wait_ready('access')
  assert sh(cluster, 'access', f'cat {TOKEN}/namespace') == 'default'
  assert 'BEGIN CERTIFICATE' in sh(cluster, 'access', f'cat {TOKEN}/ca.crt')
  token = sh(cluster, 'access', f'cat {TOKEN}/token')
  assert token.count('.') == 2
  request = urllib.request.Request(f'https://127.0.0.1:{cluster.port}/api/v1/namespaces/default/pods', headers={'Authorization': f'Bearer {token}'})
  try:
    urllib.request.urlopen(request, context=ssl._create_unverified_context())
    raise Failed('the account may list pods')
  except urllib.error.HTTPError as error:
    assert error.code == 403 and b'User \\"system:serviceaccount:default:default\\" cannot list' in error.read()
  sh(cluster, 'access', f'! touch {TOKEN}/x 2>/dev/null')
  assert 'tmpfs' in sh(cluster, 'access', f'grep " {TOKEN} " /proc/self/mounts || grep serviceaccount /proc/self/mounts')


def test_config_map_follows(cluster):
  config_map(cluster, 'settings', a='1', b='2')
  volumes = [{'name': 'v', 'configMap': {'name': 'settings', 'items': [{'key': 'a', 'path': 'deep/a'}]}},
             {'name': 'w', 'configMap': {'name': 'settings', 'defaultMode': 0o400}}]
  cluster.create(pod('follows', ('v', '/v', {}), ('w', '/w', {}), ('w', '/one', {'subPath': 'b'}), volumes=volumes)).ok()
  cluster.wait_ready('follows')
  assert sh(cluster, 'follows', 'cat /v/deep/a /w/a /w/b /one; stat -c %a -L /w/a; ls /w') == '1122400\na\nb\n'
  config_map(cluster, 'settings', a='one', c='3')
  wait_for(lambda: sh(cluster, 'follows', 'cat /v/deep/a /w/a /w/c; ls /w') == 'oneone3a\nc\n', 5, 'the new content')
  assert sh(cluster, 'follows', 'cat /one') == '2'  # a subPath does not follow, as documented


def test_waits_for_what_is_missing(cluster):
  volumes = [{'name': 'v', 'secret': {'secretName': 'late'}}]
  cluster.create(pod('waits', ('v', '/v', {}), volumes=volumes)).ok()
  wait_for(lambda: 'MountVolume.SetUp failed for volume "v" : secret "late" not found' in
           cluster.kubectl('describe', 'pod', 'waits').ok(), 10, 'the event')
  assert container_status(cluster.pod('waits'))['state']['waiting']['reason'] == 'ContainerCreating'
  cluster.create({'apiVersion': 'v1', 'kind': 'Secret', 'metadata': {'name': 'late'}, 'stringData': {'k': 'v'}}).ok()
  cluster.wait_ready('waits', 5)
  assert sh(cluster, 'waits', 'cat /v/k') == 'v'


def test_empty_dir_is_shared_and_dies_with_the_pod(cluster):
  volumes = [{'name': 'd', 'emptyDir': {}}, {'name': 'm', 'emptyDir': {'medium': 'Memory', 'sizeLimit': '1Mi'}}]
  spec = pod('shares', ('d', '/d', {}), ('m', '/m', {}), ('d', '/sub', {'subPathExpr': 'logs/$(NAME)'}), volumes=volumes,
             container={'env': [{'name': 'NAME', 'valueFrom': {'fieldRef': {'fieldPath': 'metadata.name'}}}]})
  spec['spec']['containers'].append({**spec['spec']['containers'][0], 'name': 'other'})
  cluster.create(spec).ok()
  cluster.wait_ready('shares')
  sh(cluster, 'shares', 'echo hello > /d/x; echo log > /sub/y')
  assert cluster.kubectl('exec', 'shares', '-c', 'other', '--', 'cat', '/d/x', '/d/logs/shares/y').ok() == 'hello\nlog\n'
  assert sh(cluster, 'shares', 'dd if=/dev/zero of=/m/big bs=1M count=2 2>&1; stat -c %s /m/big').endswith('1048576\n')
  cluster.kubectl('delete', 'pod', 'shares').ok()
  mounts = open('/proc/self/mountinfo').read()
  assert 'shares' not in mounts


def test_sub_path_does_not_lead_out(cluster):
  volumes = [{'name': 'd', 'emptyDir': {}}]
  spec = pod('escape', ('d', '/out', {'subPath': 'link/etc'}), volumes=volumes)
  spec['spec']['initContainers'] = [{'name': 'i', 'image': 'busybox:latest', 'imagePullPolicy': 'IfNotPresent',
                                     'command': ['ln', '-s', '/', '/d/link'], 'volumeMounts': [{'name': 'd', 'mountPath': '/d'}]}]
  cluster.create(spec).ok()
  stopped = cluster.wait_pod('escape', lambda p: container_status(p)['state'].get('waiting', {}).get('reason') == 'CreateContainerConfigError')
  assert container_status(stopped)['state']['waiting']['message'] == 'failed to prepare subPath for volumeMount "d" of container "c"'


def test_environment(cluster):
  config_map(cluster, 'vars', A='from', B='map')
  env = [{'name': 'A', 'value': 'own'}, {'name': 'C', 'value': '$(A)-$(B)-$$(A)'},
         {'name': 'IP', 'valueFrom': {'fieldRef': {'fieldPath': 'status.podIP'}}},
         {'name': 'MEM', 'valueFrom': {'resourceFieldRef': {'resource': 'limits.memory', 'divisor': '1Mi'}}}]
  cluster.create(pod('env', container={'env': env, 'envFrom': [{'configMapRef': {'name': 'vars'}}], 'command': ['/bin/sh', '-c'],
                                       'args': ["echo '$(C)' '$(NOT)'; sleep 1000"], 'resources': {'limits': {'memory': '64Mi'}}})).ok()
  running = cluster.wait_ready('env')
  ip = running['status']['podIP']
  assert sh(cluster, 'env', 'echo $A $B $C $IP $MEM $KUBERNETES_SERVICE_PORT $HOSTNAME') == f'own map own-map-$(A) {ip} 64 443 env\n'
  # $(NOT) is nobody's and stays.
  assert cluster.kubectl('logs', 'env').ok() == 'own-map-$(A) $(NOT)\n'


def test_missing_key(cluster):
  config_map(cluster, 'few', a='1')
  ref = {'configMapKeyRef': {'name': 'few', 'key': 'none'}}
  cluster.create(pod('keyless', container={'env': [{'name': 'X', 'valueFrom': ref}]})).ok()
  stopped = cluster.wait_pod('keyless', lambda p: container_status(p)['state'].get('waiting', {}).get('reason') == 'CreateContainerConfigError')
  assert container_status(stopped)['state']['waiting']['message'] == "couldn't find key none in ConfigMap default/few"
  assert "Error: couldn't find key none in ConfigMap default/few" in cluster.kubectl('describe', 'pod', 'keyless').ok()
  config_map(cluster, 'few', a='1', none='2')
  cluster.wait_ready('keyless', 30)


def test_hosts_and_resolver(cluster):
  alias = [{'ip': '192.0.2.1', 'hostnames': ['a.example', 'b.example']}]
  dns = {'nameservers': ['192.0.2.53'], 'searches': ['x.example'], 'options': [{'name': 'ndots', 'value': '2'}]}
  cluster.create(pod('names', hostAliases=alias, hostname='web', subdomain='sub', dnsPolicy='None', dnsConfig=dns)).ok()
  ip = cluster.wait_ready('names')['status']['podIP']
  hosts = sh(cluster, 'names', 'cat /etc/hosts')
  assert hosts.startswith('# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n')
  assert f'{ip}\tweb.sub.default.svc.cluster.local\tweb\n' in hosts and '192.0.2.1\ta.example\tb.example\n' in hosts
  assert sh(cluster, 'names', 'hostname; cat /etc/hostname') == 'web\nweb\n'
  assert sh(cluster, 'names', 'cat /etc/resolv.conf') == 'search x.example\nnameserver 192.0.2.53\noptions ndots:2\n'


def test_users_and_groups(cluster):
  volumes = [{'name': 'd', 'emptyDir': {}}, {'name': 's', 'downwardAPI': {'items': [{'path': 'labels', 'fieldRef': {'fieldPath': 'metadata.labels'}}]}}]
  context = {'runAsUser': 1234, 'runAsGroup': 2345, 'fsGroup': 3456, 'supplementalGroups': [4567]}
  cluster.create(pod('user', ('d', '/d', {}), ('s', '/s', {}), volumes=volumes, securityContext=context)).ok()
  cluster.wait_ready('user')
  assert sh(cluster, 'user', 'id -u; id -g; id -G') == '1234\n2345\n2345 3456 4567\n'
  assert sh(cluster, 'user', 'touch /d/x; stat -c "%u %g" /d/x; cat /s/labels') == '1234 3456\napp="user"'
  assert sh(cluster, 'user', f'stat -L -c "%u %g %a" {TOKEN}/token; wc -c < {TOKEN}/token').startswith('1234 3456 640\n')
  cluster.kubectl('label', 'pod', 'user', 'more=1').ok()
  wait_for(lambda: sh(cluster, 'user', 'cat /s/labels') == 'app="user"\nmore="1"', 5, 'the new label')


def test_run_as_non_root(cluster):
  cluster.create(pod('nonroot', securityContext={'runAsNonRoot': True})).ok()
  stopped = cluster.wait_pod('nonroot', lambda p: container_status(p)['state'].get('waiting', {}).get('reason') == 'CreateContainerConfigError')
  uid = stopped['metadata']['uid']
  assert container_status(stopped)['state']['waiting']['message'] == (
      f'container has runAsNonRoot and image will run as root (pod: "nonroot_default({uid})", container: c)')


def test_limits(cluster):
  """The container is killed for want of memory, and the pod says so."""
  resources = {'limits': {'memory': '16Mi', 'cpu': '500m'}}
  cluster.create(pod('hungry', script='dd if=/dev/zero of=/dev/null bs=64M count=1', container={'resources': resources}, restartPolicy='Never')).ok()
  ended = cluster.wait_pod('hungry', lambda p: p['status']['phase'] == 'Failed')
  state = container_status(ended)['state']['terminated']
  assert state['exitCode'] == 137 and state['reason'] == 'OOMKilled'
  assert ended['status']['qosClass'] == 'Guaranteed'


def test_fallback_to_logs(cluster):
  spec = pod('lastwords', script='echo first; echo last; exit 2', restartPolicy='Never',
             container={'terminationMessagePolicy': 'FallbackToLogsOnError'})
  cluster.create(spec).ok()
  ended = cluster.wait_pod('lastwords', lambda p: p['status']['phase'] == 'Failed')
  assert container_status(ended)['state']['terminated']['message'] == 'first\nlast\n'
