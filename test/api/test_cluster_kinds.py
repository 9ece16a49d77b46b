"""Kinds of the cluster under kubectl: apply, get, get -o wide, describe, explain; what is refused; what is warned about."""
import json
import re

CLUSTER = {'node': False}

# kind, apiVersion, content, the columns of `get -o wide` and its cells (upstream's pkg/printers/internalversion/printers.go)
KINDS = [
  ('LimitRange', 'v1', {'spec': {'limits': [{'type': 'Pod', 'max': {'cpu': '2'}}]}}, 'NAME CREATED AT', 'x \\S+'),
  ('ResourceQuota', 'v1', {'spec': {'hard': {'count/widgets.example.com': '9'}}}, 'NAME REQUEST LIMIT AGE', 'x .*'),
  ('PersistentVolume', 'v1',
   {'spec': {'capacity': {'storage': '1Gi'}, 'accessModes': ['ReadWriteOnce'], 'storageClassName': 'none',
             'hostPath': {'path': '/tmp/x'}}},
   'NAME CAPACITY ACCESS MODES RECLAIM POLICY STATUS CLAIM STORAGECLASS VOLUMEATTRIBUTESCLASS REASON AGE VOLUMEMODE',
   'x 1Gi RWO Retain \\w+ none <unset> \\S+ Filesystem'),
  ('PersistentVolumeClaim', 'v1',
   {'spec': {'accessModes': ['ReadWriteMany'], 'storageClassName': 'other', 'resources': {'requests': {'storage': '1Gi'}}}},
   'NAME STATUS VOLUME CAPACITY ACCESS MODES STORAGECLASS VOLUMEATTRIBUTESCLASS AGE VOLUMEMODE',
   'x Pending other <unset> \\S+ Filesystem'),
  ('EndpointSlice', 'discovery.k8s.io/v1',
   {'addressType': 'IPv4', 'endpoints': [{'addresses': ['192.0.2.1'], 'conditions': {}}], 'ports': [{'name': 'a', 'port': 80, 'protocol': 'TCP'}]},
   'NAME ADDRESSTYPE PORTS ENDPOINTS AGE', 'x IPv4 80 192.0.2.1 \\S+'),
  ('PriorityClass', 'scheduling.k8s.io/v1', {'value': 7}, 'NAME VALUE GLOBAL-DEFAULT AGE PREEMPTIONPOLICY',
   'x 7 false \\S+ PreemptLowerPriority'),
  ('RuntimeClass', 'node.k8s.io/v1', {'handler': 'runc'}, 'NAME HANDLER AGE', 'x runc \\S+'),
  ('StorageClass', 'storage.k8s.io/v1', {'provisioner': 'example.com/p'},
   'NAME PROVISIONER RECLAIMPOLICY VOLUMEBINDINGMODE ALLOWVOLUMEEXPANSION AGE', 'x example.com/p Delete Immediate false \\S+'),
  ('CSIDriver', 'storage.k8s.io/v1', {'spec': {}},
   'NAME ATTACHREQUIRED PODINFOONMOUNT STORAGECAPACITY TOKENREQUESTS REQUIRESREPUBLISH MODES AGE',
   'x true false false <unset> false Persistent \\S+'),
  ('CSINode', 'storage.k8s.io/v1', {'spec': {'drivers': [{'name': 'd', 'nodeID': 'i'}]}}, 'NAME DRIVERS AGE', 'x 1 \\S+'),
  ('CSIStorageCapacity', 'storage.k8s.io/v1', {'storageClassName': 'c', 'capacity': '1Gi'}, 'NAME STORAGECLASSNAME CAPACITY',
   'x c 1Gi'),
  ('VolumeAttachment', 'storage.k8s.io/v1',
   {'spec': {'attacher': 'a', 'nodeName': 'n', 'source': {'persistentVolumeName': 'v'}}}, 'NAME ATTACHER PV NODE ATTACHED AGE',
   'x a v n false \\S+'),
  ('VolumeAttributesClass', 'storage.k8s.io/v1', {'driverName': 'd', 'parameters': {'a': 'b'}}, 'NAME DRIVERNAME AGE', 'x d \\S+'),
  ('Ingress', 'networking.k8s.io/v1',
   {'spec': {'ingressClassName': 'c', 'rules': [{'host': 'h.example.com', 'http': {'paths': [
     {'path': '/', 'pathType': 'Prefix', 'backend': {'service': {'name': 's', 'port': {'number': 80}}}}]}}]}},
   'NAME CLASS HOSTS ADDRESS PORTS AGE', 'x c h.example.com 80 \\S+'),
  ('IngressClass', 'networking.k8s.io/v1', {'spec': {'controller': 'example.com/c'}}, 'NAME CONTROLLER PARAMETERS AGE',
   'x example.com/c <none> \\S+'),
  ('NetworkPolicy', 'networking.k8s.io/v1', {'spec': {'podSelector': {'matchLabels': {'a': 'b'}}}}, 'NAME POD-SELECTOR AGE',
   'x a=b \\S+'),
  ('ServiceCIDR', 'networking.k8s.io/v1', {'spec': {'cidrs': ['192.0.2.0/24']}}, 'NAME CIDRS AGE', 'x 192.0.2.0/24 \\S+'),
  ('FlowSchema', 'flowcontrol.apiserver.k8s.io/v1', {'spec': {'priorityLevelConfiguration': {'name': 'p'}}},
   'NAME PRIORITYLEVEL MATCHINGPRECEDENCE DISTINGUISHERMETHOD AGE MISSINGPL', 'x p 1000 <none> \\S+ \\?'),
  ('PriorityLevelConfiguration', 'flowcontrol.apiserver.k8s.io/v1',
   {'spec': {'type': 'Limited', 'limited': {'limitResponse': {'type': 'Queue', 'queuing': {}}}}},
   'NAME TYPE NOMINALCONCURRENCYSHARES QUEUES HANDSIZE QUEUELENGTHLIMIT AGE', 'x Limited 30 64 8 50 \\S+'),
  ('DeviceClass', 'resource.k8s.io/v1', {'spec': {}}, 'NAME AGE', 'x \\S+'),
  ('ResourceClaim', 'resource.k8s.io/v1',
   {'spec': {'devices': {'requests': [{'name': 'r', 'exactly': {
     'deviceClassName': 'x', 'allocationMode': 'ExactCount', 'count': 1}}]}}}, 'NAME STATE AGE', 'x pending \\S+'),
  ('ResourceClaimTemplate', 'resource.k8s.io/v1', {'spec': {'spec': {'devices': {}}}}, 'NAME AGE', 'x \\S+'),
  ('ResourceSlice', 'resource.k8s.io/v1',
   {'spec': {'driver': 'd', 'nodeName': 'n', 'pool': {'name': 'p', 'generation': 1, 'resourceSliceCount': 1}}},
   'NAME NODE DRIVER POOL AGE', 'x n d p \\S+'),
]
# kubectl 1.33 and older asks for these in their beta versions.
OLD_DESCRIBERS = ('VolumeAttributesClass', 'ServiceCIDR')


def manifest(kind, version, content):
  return dict({'apiVersion': version, 'kind': kind, 'metadata': {'name': 'x'}}, **content)


def words(line):
  return ' '.join(line.split())


def test_apply_all(cluster):
  everything = json.dumps({'apiVersion': 'v1', 'kind': 'List', 'items': [manifest(k, v, c) for k, v, c, _, _ in KINDS]})
  made = cluster.kubectl('apply', '-f', '-', stdin=everything)
  assert made.ok().count(' created') == len(KINDS), vars(made)
  assert 'Warning: nothing acts on objects of kind NetworkPolicy yet' in made.err, made.err
  again = cluster.kubectl('apply', '-f', '-', stdin=everything).ok()
  assert again.count(' unchanged') == len(KINDS), again
  served = cluster.kubectl('apply', '--server-side', '--force-conflicts', '-f', '-', stdin=everything).ok()
  assert served.count(' serverside-applied') == len(KINDS), served


def test_get_describe_explain(cluster):
  needs_kubectl(24)  # noqa: F821: given by test/run
  for kind, version, _, columns, cells in KINDS:
    name = kind + '.' + version.split('/')[1] + '.' + version.split('/')[0] if '/' in version else kind
    head, line = cluster.kubectl('get', name, 'x', '-o', 'wide').ok().strip().split('\n')
    assert words(head) == columns, (kind, head)
    assert re.fullmatch(cells, words(line)), (kind, line)
    if kind not in OLD_DESCRIBERS:
      assert re.search(r'Name:\s+x\n', cluster.kubectl('describe', name, 'x').ok()), kind
    assert 'metadata' in cluster.kubectl('explain', kind, '--recursive').ok(), kind
  for word in ('limits', 'quota', 'pv', 'pvc', 'pc', 'sc', 'vac', 'ing', 'netpol'):
    assert 'x' in cluster.kubectl('get', word, '-o', 'name').ok(), word


def test_what_the_server_makes(cluster):
  classes = words(cluster.kubectl('get', 'pc', '--no-headers').ok())
  assert 'system-cluster-critical 2000000000 false' in classes and 'system-node-critical 2000001000 false' in classes, classes
  services = words(cluster.kubectl('get', 'apiservices', '--no-headers').ok())
  assert 'v1.apps Local True' in services and services.startswith('v1. Local True'), services
  assert words(cluster.kubectl('get', 'cs', '--no-headers').ok()) == 'etcd-0 Healthy ok'


def test_refused(cluster):
  """In the words of upstream's pkg/apis/networking/validation and pkg/apis/core/validation."""
  bad = manifest('Ingress', 'networking.k8s.io/v1', {'spec': {}})
  cluster.kubectl('create', '-f', '-', stdin=json.dumps(dict(bad, metadata={'name': 'y'}))).fails(
    'spec: Invalid value: null: either `defaultBackend` or `rules` must be specified')
  cluster.kubectl('patch', 'pvc', 'x', '--type=merge', '-p', '{"spec":{"accessModes":["ReadWriteOnce"]}}').fails(
    'spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims')
