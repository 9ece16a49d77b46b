"""An operator for ensembles: pods that belong together, each with an image of its own, which no StatefulSet can do.

Run it beside the cluster with `kopf run --standalone --all-namespaces operator.py`; see README.md.
"""
import kopf
import kubernetes

GROUP, VERSION, PLURAL = 'example.com', 'v1', 'ensembles'
LABEL, MEMBER = f'{GROUP}/ensemble', f'{GROUP}/member'


@kopf.on.startup()
def connect(settings, **_):
  settings.posting.level = 30  # warnings and worse become events
  try:
    kubernetes.config.load_incluster_config()
  except kubernetes.config.ConfigException:
    kubernetes.config.load_kube_config()


def wanted_pod(ensemble, member):
  name, namespace = ensemble['metadata']['name'], ensemble['metadata']['namespace']
  container = {'name': 'main', 'image': member['image']}
  if member.get('command'):
    container['command'] = list(member['command'])
  pod = {'apiVersion': 'v1', 'kind': 'Pod',
         'metadata': {'name': f"{name}-{member['name']}", 'namespace': namespace, 'labels': {LABEL: name, MEMBER: member['name']}},
         'spec': {'containers': [container]}}
  kopf.append_owner_reference(pod, owner=ensemble)
  return pod


def differs(pod, wanted):
  """Only what the ensemble says can differ; defaults fill in the rest."""
  container, want = pod.spec.containers[0], wanted['spec']['containers'][0]
  return container.image != want['image'] or (container.command or []) != want.get('command', [])


def is_ready(pod):
  return any(c.type == 'Ready' and c.status == 'True' for c in pod.status.conditions or [])


def reconcile(ensemble):
  """Takes one step from the pods that are to those that should be, and returns the status."""
  core = kubernetes.client.CoreV1Api()
  name, namespace = ensemble['metadata']['name'], ensemble['metadata']['namespace']
  pods = {p.metadata.name: p for p in core.list_namespaced_pod(namespace, label_selector=f'{LABEL}={name}').items}
  wanted = {p['metadata']['name']: p for p in (wanted_pod(ensemble, m) for m in ensemble['spec']['members'])}
  for pod_name, pod in pods.items():
    surplus = pod_name not in wanted or differs(pod, wanted[pod_name]) or pod.status.phase in ('Failed', 'Succeeded')
    if surplus and not pod.metadata.deletion_timestamp:
      core.delete_namespaced_pod(pod_name, namespace)  # its deletion brings us back
  for pod_name, pod in wanted.items():
    if pod_name not in pods:
      try:
        core.create_namespaced_pod(namespace, pod)
      except kubernetes.client.ApiException as error:
        if error.status != 409:  # the old one is not gone yet: its deletion brings us back
          raise
  return {'members': len(wanted), 'ready': sum(is_ready(p) for n, p in pods.items() if n in wanted),
          'images': {m['name']: m['image'] for m in ensemble['spec']['members']}}


@kopf.on.create(GROUP, VERSION, PLURAL)
@kopf.on.update(GROUP, VERSION, PLURAL, field='spec')
@kopf.on.resume(GROUP, VERSION, PLURAL)
def on_ensemble(body, patch, **_):
  patch.status.update(reconcile(body))


@kopf.on.event('', 'v1', 'pods', labels={LABEL: kopf.PRESENT})
def on_pod(labels, namespace, **_):
  """A pod came, changed or went: its ensemble is looked at again."""
  custom = kubernetes.client.CustomObjectsApi()
  try:
    ensemble = custom.get_namespaced_custom_object(GROUP, VERSION, namespace, PLURAL, labels[LABEL])
    if not ensemble['metadata'].get('deletionTimestamp'):
      custom.patch_namespaced_custom_object_status(GROUP, VERSION, namespace, PLURAL, labels[LABEL], {'status': reconcile(ensemble)})
  except kubernetes.client.ApiException as error:
    if error.status != 404:  # it went first: the garbage collector takes its pods
      raise
