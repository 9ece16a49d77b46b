"""What makes pods, under kubectl: create, apply, get, describe, scale, explain. Nothing acts on it here."""
import json
import re

CLUSTER = {'node': False, 'arguments': ('--controllers=serviceaccount-controller',)}

TEMPLATE = {'metadata': {'labels': {'app': 'a'}}, 'spec': {'containers': [{'name': 'c', 'image': 'busybox:1'}]}}
ONCE = {'spec': {'containers': [{'name': 'c', 'image': 'busybox:1'}], 'restartPolicy': 'Never'}}
SELECTOR = {'matchLabels': {'app': 'a'}}
PODS = {'selector': SELECTOR, 'template': TEMPLATE}

# kind, apiVersion, what the object holds, the columns of `get` and its cells (upstream's printers.go)
KINDS = [
  ('ReplicationController', 'v1', {'spec': {'template': TEMPLATE}}, 'NAME DESIRED CURRENT READY AGE', 'x 1 0 0 \\S+'),
  ('PodTemplate', 'v1', {'template': TEMPLATE}, 'NAME CONTAINERS IMAGES POD LABELS', 'x c busybox:1 app=a'),
  ('Deployment', 'apps/v1', {'spec': PODS}, 'NAME READY UP-TO-DATE AVAILABLE AGE', 'x 0/1 0 0 \\S+'),
  ('ReplicaSet', 'apps/v1', {'spec': PODS}, 'NAME DESIRED CURRENT READY AGE', 'x 1 0 0 \\S+'),
  ('StatefulSet', 'apps/v1', {'spec': dict(PODS, serviceName='s')}, 'NAME READY AGE', 'x 0/1 \\S+'),
  ('DaemonSet', 'apps/v1', {'spec': PODS}, 'NAME DESIRED CURRENT READY UP-TO-DATE AVAILABLE NODE SELECTOR AGE', 'x 0 0 0 0 0 <none> \\S+'),
  ('ControllerRevision', 'apps/v1', {'revision': 3, 'data': {'a': 1}}, 'NAME CONTROLLER REVISION AGE', 'x <none> 3 \\S+'),
  ('Job', 'batch/v1', {'spec': {'template': ONCE}}, 'NAME STATUS COMPLETIONS DURATION AGE', 'x Running 0/1 \\S+'),
  ('CronJob', 'batch/v1', {'spec': {'schedule': '0 3 * * *', 'jobTemplate': {'spec': {'template': ONCE}}}},
   'NAME SCHEDULE TIMEZONE SUSPEND ACTIVE LAST SCHEDULE AGE', 'x 0 3 \\* \\* \\* <none> False 0 <none> \\S+'),
  ('HorizontalPodAutoscaler', 'autoscaling/v2',
   {'spec': {'maxReplicas': 3, 'scaleTargetRef': {'apiVersion': 'apps/v1', 'kind': 'Deployment', 'name': 'x'}}},
   'NAME REFERENCE TARGETS MINPODS MAXPODS REPLICAS AGE', 'x Deployment/x cpu: <unknown>/80% 1 3 0 \\S+'),
  ('PodDisruptionBudget', 'policy/v1', {'spec': {'minAvailable': '50%', 'selector': SELECTOR}},
   'NAME MIN AVAILABLE MAX UNAVAILABLE ALLOWED DISRUPTIONS AGE', 'x 50% N/A 0 \\S+'),
]
SCALED = ['ReplicationController', 'Deployment', 'ReplicaSet', 'StatefulSet']


def manifest(kind, version, content):
  return dict({'apiVersion': version, 'kind': kind, 'metadata': {'name': 'x'}}, **content)


def words(line):
  return ' '.join(line.split())


def test_apply_all(cluster):
  everything = json.dumps({'apiVersion': 'v1', 'kind': 'List', 'items': [manifest(k, v, c) for k, v, c, _, _ in KINDS]})
  made = cluster.kubectl('apply', '-f', '-', stdin=everything).ok()
  assert made.count(' created') == len(KINDS), made
  needs_kubectl(24)  # noqa: F821: given by test/run; batch/v1beta1 of its CronJobs is gone
  again = cluster.kubectl('apply', '-f', '-', stdin=everything).ok()
  assert again.count(' unchanged') == len(KINDS), again
  served = cluster.kubectl('apply', '--server-side', '--force-conflicts', '-f', '-', stdin=everything).ok()
  assert served.count(' serverside-applied') == len(KINDS), served


def test_get_and_describe(cluster):
  needs_kubectl(24)  # noqa: F821
  for kind, _, _, columns, cells in KINDS:
    head, line = cluster.kubectl('get', kind, 'x').ok().strip().split('\n')
    assert words(head) == columns, (kind, head)
    assert re.fullmatch(cells, words(line)), (kind, line)
    assert re.search(r'Name:\s+x\n', cluster.kubectl('describe', kind, 'x').ok()), kind
    assert cluster.json('get', kind, 'x')['kind'] == kind
  wide = words(cluster.kubectl('get', 'deployment', 'x', '-o', 'wide').ok())
  assert wide.endswith('c busybox:1 app=a'), wide
  for word in ('rc/x', 'deploy/x', 'rs/x', 'sts/x', 'ds/x', 'cj/x', 'hpa/x', 'pdb/x'):
    cluster.kubectl('get', word).ok()
  everything = cluster.kubectl('get', 'all', '-o', 'name').ok()
  assert 'deployment.apps/x' in everything and 'cronjob.batch/x' in everything and 'poddisruptionbudget' not in everything


def test_scale(cluster):
  needs_kubectl(24)  # noqa: F821: given by test/run; --subresource
  for kind in SCALED:
    cluster.kubectl('scale', kind, 'x', '--replicas=3').ok()
    assert cluster.json('get', kind, 'x')['spec']['replicas'] == 3, kind
    cluster.kubectl('scale', kind, 'x', '--current-replicas=2', '--replicas=4').fails('Expected replicas to be 2, was 3')
  scale = cluster.json('get', 'deployment', 'x', '--subresource=scale')
  assert scale['kind'] == 'Scale' and scale['spec'] == {'replicas': 3} and scale['status']['selector'] == 'app=a', scale
  cluster.kubectl('patch', 'sts', 'x', '--subresource=scale', '--type=merge', '-p', '{"spec":{"replicas":2}}').ok()
  assert cluster.json('get', 'sts', 'x')['spec']['replicas'] == 2


def test_field_selectors(cluster):
  assert 'x' in cluster.kubectl('get', 'jobs', '--field-selector=status.successful=0', '-o', 'name').ok()
  assert cluster.kubectl('get', 'jobs', '--field-selector=status.successful!=0', '-o', 'name').ok() == ''
  assert 'x' in cluster.kubectl('get', 'rs', '--field-selector=status.replicas=0', '-o', 'name').ok()


def test_explain(cluster):
  known = {'ReplicationController': 'minReadySeconds', 'PodTemplate': 'containers', 'Deployment': 'maxSurge', 'ReplicaSet': 'selector',
           'StatefulSet': 'volumeClaimTemplates', 'DaemonSet': 'maxUnavailable', 'ControllerRevision': 'revision',
           'Job': 'podFailurePolicy', 'CronJob': 'concurrencyPolicy', 'HorizontalPodAutoscaler': 'stabilizationWindowSeconds',
           'PodDisruptionBudget': 'unhealthyPodEvictionPolicy'}
  for kind, _, _, _, _ in KINDS:
    text = cluster.kubectl('explain', kind, '--recursive').ok()
    assert known[kind] in text and 'VERSION:' in text, (kind, text)


def test_two_versions_of_autoscalers(cluster):
  old = manifest('HorizontalPodAutoscaler', 'autoscaling/v1',
                 {'spec': {'maxReplicas': 4, 'targetCPUUtilizationPercentage': 60, 'scaleTargetRef': {'kind': 'Deployment', 'name': 'y'}}})
  cluster.create(dict(old, metadata={'name': 'y'})).ok()
  assert cluster.json('get', 'hpa', 'y')['spec']['metrics'][0]['resource']['target']['averageUtilization'] == 60
  older = cluster.json('get', 'horizontalpodautoscalers.v1.autoscaling', 'y')
  assert older['apiVersion'] == 'autoscaling/v1' and older['spec']['targetCPUUtilizationPercentage'] == 60, older
  assert words(cluster.kubectl('get', 'horizontalpodautoscalers.v1.autoscaling', 'y', '--no-headers').ok()).startswith('y Deployment/y cpu: <unknown>/60% 1 4 0')
  cluster.kubectl('autoscale', 'deployment', 'x', '--name=z', '--min=2', '--max=5').ok()
  assert cluster.json('get', 'hpa', 'z')['spec']['minReplicas'] == 2


def test_what_users_get_wrong(cluster):
  """Each line as users meet it; the words are upstream's pkg/apis/{apps,batch}/validation."""
  cases = [
    ('Deployment', 'apps/v1', {'spec': {'template': TEMPLATE}}, 'spec.selector: Required value'),
    ('Deployment', 'apps/v1', {'spec': dict(PODS, selector={'matchLabels': {'app': 'b'}})},
     'spec.template.metadata.labels: Invalid value: {"app":"a"}: `selector` does not match template `labels`'),
    ('Job', 'batch/v1', {'spec': {'template': {'spec': {'containers': ONCE['spec']['containers']}}}},
     'spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"'),
    ('CronJob', 'batch/v1', {'spec': {'schedule': '61 * * * *', 'jobTemplate': {'spec': {'template': ONCE}}}},
     'spec.schedule: Invalid value: "61 * * * *": end of range (61) above maximum (59): 61'),
    ('CronJob', 'batch/v1', {'spec': {'schedule': '* * * * *', 'timeZone': 'Nowhere', 'jobTemplate': {'spec': {'template': ONCE}}}},
     'spec.timeZone: Invalid value: "Nowhere": unknown time zone Nowhere'),
  ]
  for kind, version, content, message in cases:
    text = json.dumps(dict(manifest(kind, version, content), metadata={'name': 'wrong'}))
    cluster.kubectl('create', '--validate=false', '-f', '-', stdin=text).fails(message)  # old kubectl would refuse it itself
  cluster.kubectl('patch', 'deployment', 'x', '-p', '{"spec":{"selector":{"matchLabels":{"more":"1"}}}}').fails('field is immutable')
  cluster.kubectl('patch', 'sts', 'x', '-p', '{"spec":{"serviceName":"other"}}').fails('updates to statefulset spec for fields other than')


def test_job_by_hand(cluster):
  needs_kubectl(21)  # noqa: F821: 1.20 knows batch/v1beta1's CronJobs only
  cluster.kubectl('create', 'job', 'again', '--from=cronjob/x').ok()
  assert cluster.json('get', 'job', 'again')['spec']['selector']['matchLabels'].keys() == {'batch.kubernetes.io/controller-uid'}


def test_warning(cluster):
  """A kind that nothing acts on says so when one is made."""
  result = cluster.create(dict(manifest('NetworkPolicy', 'networking.k8s.io/v1', {'spec': {'podSelector': {}}}), metadata={'name': 'warned'}))
  assert 'Warning: nothing acts on objects of kind NetworkPolicy yet' in result.err, vars(result)
