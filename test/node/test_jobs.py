"""Jobs on real containers: done, failed, indexed, from a cron job, deleted."""
import json

from harness.cluster import wait_for

CLUSTER = {'images': ('busybox:latest',)}


def job(name, script, policy='Never', **spec):
  container = {'name': 'c', 'image': 'busybox:latest', 'imagePullPolicy': 'IfNotPresent', 'command': ['/bin/sh', '-c', script]}
  template = {'spec': {'restartPolicy': policy, 'terminationGracePeriodSeconds': 1, 'containers': [container]}}
  return {'apiVersion': 'batch/v1', 'kind': 'Job', 'metadata': {'name': name}, 'spec': {'template': template, **spec}}


def get(cluster, name):
  return json.loads(cluster.kubectl('get', 'job', name, '-o', 'json').ok())


def pods(cluster, name):
  return json.loads(cluster.kubectl('get', 'pods', '-l', f'batch.kubernetes.io/job-name={name}', '-o', 'json').ok())['items']


def wait_complete(cluster, name):
  cluster.kubectl('wait', '--for=condition=complete', '--timeout=60s', f'job/{name}', timeout=70).ok()


def condition(cluster, name, kind):
  return next((c for c in get(cluster, name)['status'].get('conditions', ()) if c['type'] == kind), {})


def test_completions(cluster):
  cluster.create(job('three', 'echo done', completions=3, parallelism=2)).ok()
  wait_complete(cluster, 'three')
  status = get(cluster, 'three')['status']
  assert status['succeeded'] == 3 and 'failed' not in status and 'active' not in status, status
  assert [p['status']['phase'] for p in pods(cluster, 'three')] == ['Succeeded'] * 3
  assert all('finalizers' not in p['metadata'] for p in pods(cluster, 'three'))
  assert cluster.kubectl('logs', 'job/three').ok() == 'done\n'
  line = cluster.kubectl('get', 'job', 'three', '--no-headers').ok().split()
  assert line[:3] == ['three', 'Complete', '3/3'], line
  assert 'Job completed' in cluster.kubectl('describe', 'job', 'three').ok()
  cluster.kubectl('delete', 'job', 'three', '--timeout=20s').ok()
  wait_for(lambda: not pods(cluster, 'three'), 20, 'its pods to go')


def test_failure(cluster):
  made = job('bad', 'exit 42', backoffLimit=0)
  policy = {'rules': [{'action': 'FailJob', 'onExitCodes': {'operator': 'In', 'values': [42]}}]}
  cluster.create({'apiVersion': 'v1', 'kind': 'List', 'items': [made, job('policy', 'exit 42', podFailurePolicy=policy)]}).ok()
  for name, reason in (('bad', 'BackoffLimitExceeded'), ('policy', 'PodFailurePolicy')):
    cluster.kubectl('wait', '--for=condition=failed', '--timeout=60s', f'job/{name}', timeout=70).ok()
    assert condition(cluster, name, 'Failed')['reason'] == reason
    assert get(cluster, name)['status']['failed'] == 1
  assert 'failed with exit code 42 matching FailJob rule at index 0' in condition(cluster, 'policy', 'Failed')['message']


def test_indexed(cluster):
  cluster.create(job('index', 'echo $JOB_COMPLETION_INDEX $(hostname)', completions=3, parallelism=3, completionMode='Indexed')).ok()
  wait_complete(cluster, 'index')
  assert get(cluster, 'index')['status']['completedIndexes'] == '0-2'
  said = sorted(cluster.kubectl('logs', p['metadata']['name']).ok() for p in pods(cluster, 'index'))
  assert said == [f'{i} index-{i}\n' for i in range(3)], said


def test_restarts_in_place(cluster):
  cluster.create(job('again', 'test -e /tmp/x && exit 0; exit 1', policy='OnFailure', backoffLimit=1, activeDeadlineSeconds=60)).ok()
  cluster.kubectl('wait', '--for=condition=failed', '--timeout=60s', 'job/again', timeout=70).ok()
  assert condition(cluster, 'again', 'Failed')['reason'] == 'BackoffLimitExceeded'
  wait_for(lambda: not pods(cluster, 'again'), 20, 'its pod to go')


def test_suspend(cluster):
  cluster.create(job('pause', 'sleep 1000', suspend=True)).ok()
  wait_for(lambda: condition(cluster, 'pause', 'Suspended').get('status') == 'True', 10, 'Suspended')
  assert pods(cluster, 'pause') == []
  cluster.kubectl('patch', 'job', 'pause', '--type=merge', '-p', '{"spec":{"suspend":false}}').ok()
  wait_for(lambda: get(cluster, 'pause')['status'].get('ready') == 1, 20, 'a ready pod')
  cluster.kubectl('patch', 'job', 'pause', '--type=merge', '-p', '{"spec":{"suspend":true}}').ok()
  wait_for(lambda: not pods(cluster, 'pause'), 20, 'its pod to go')
  assert 'failed' not in get(cluster, 'pause')['status']


def test_from_cron_job(cluster):
  needs_kubectl(21)  # noqa: F821: given by test/run; 1.20 knows batch/v1beta1's CronJobs only
  template = {'spec': job('x', 'echo from a template')['spec']}
  cluster.create({'apiVersion': 'batch/v1', 'kind': 'CronJob', 'metadata': {'name': 'never'},
                  'spec': {'schedule': '0 0 31 2 *', 'jobTemplate': template}}).ok()
  cluster.kubectl('create', 'job', 'by-hand', '--from=cronjob/never').ok()
  wait_complete(cluster, 'by-hand')
  assert cluster.kubectl('logs', 'job/by-hand').ok() == 'from a template\n'
  cluster.kubectl('delete', 'cronjob', 'never', '--timeout=20s').ok()
  wait_for(lambda: not pods(cluster, 'by-hand'), 20, 'its pod to go')


def test_cron_job(cluster):
  template = {'spec': job('x', 'echo by the clock')['spec']}
  cluster.create({'apiVersion': 'batch/v1', 'kind': 'CronJob', 'metadata': {'name': 'often'},
                  'spec': {'schedule': '@every 1s', 'concurrencyPolicy': 'Forbid', 'jobTemplate': template}}).ok()
  cron = lambda: json.loads(cluster.kubectl('get', 'cronjob', 'often', '-o', 'json').ok())
  status = wait_for(lambda: cron().get('status', {}), 20, 'a start')
  assert status['lastScheduleTime']
  wait_for(lambda: cron()['status'].get('lastSuccessfulTime'), 30, 'its success')
  cluster.kubectl('patch', 'cronjob', 'often', '--type=merge', '-p', '{"spec":{"suspend":true}}').ok()
  made = [j for j in json.loads(cluster.kubectl('get', 'jobs', '-o', 'json').ok())['items'] if j['metadata']['name'].startswith('often-')]
  assert made and made[0]['metadata']['ownerReferences'][0]['kind'] == 'CronJob'
  cluster.kubectl('delete', 'cronjob', 'often', '--timeout=20s').ok()
  wait_for(lambda: 'often-' not in cluster.kubectl('get', 'jobs,pods', '-o', 'name').ok(), 20, 'all to go')


def test_goes_by_itself(cluster):
  cluster.create(job('short', 'exit 0', ttlSecondsAfterFinished=0)).ok()
  wait_for(lambda: 'short' not in cluster.kubectl('get', 'jobs,pods', '-o', 'name').ok(), 30, 'it to go')
