"""Who may do what, tokens, certificates and owners, as kubectl shows them."""
import base64
import json
import os
import subprocess

from harness.cluster import wait_for

CLUSTER = {'node': False}


def test_auth_can_i(cluster):
  needs_kubectl(24)  # noqa: F821: given by test/run
  cluster.kubectl('create', 'serviceaccount', 'viewer').ok()
  cluster.kubectl('create', 'rolebinding', 'viewer', '--clusterrole=view', '--serviceaccount=default:viewer').ok()
  account = '--as=system:serviceaccount:default:viewer'
  assert cluster.kubectl('auth', 'can-i', 'list', 'pods', account).ok().strip() == 'yes'
  assert cluster.kubectl('auth', 'can-i', 'get', 'secrets', account).out.strip() == 'no'
  assert cluster.kubectl('auth', 'can-i', 'list', 'pods', account, '-n', 'kube-system').out.strip() == 'no'
  listed = cluster.kubectl('auth', 'can-i', '--list', account).ok()
  assert 'configmaps' in listed and 'selfsubjectreviews' in listed, listed
  assert cluster.kubectl('auth', 'whoami', account, '-o', 'jsonpath={.status.userInfo.username}').ok() == \
    'system:serviceaccount:default:viewer'


def test_describe_aggregated_role(cluster):
  text = wait_for(lambda: (lambda t: t if 'rolebindings' in t and 'pods/log' in t else None)(
    cluster.kubectl('describe', 'clusterrole', 'admin').ok()), what='admin to be filled')
  assert 'secrets' in text


def test_create_token(cluster):
  needs_kubectl(24)  # noqa: F821: given by test/run
  cluster.kubectl('create', 'serviceaccount', 'robot').ok()
  token = cluster.kubectl('create', 'token', 'robot', '--duration=20m', '--audience=vault').ok().strip()
  payload = token.split('.')[1]
  claims = json.loads(base64.urlsafe_b64decode(payload + '=' * (-len(payload) % 4)))
  assert claims['aud'] == ['vault'] and claims['exp'] - claims['iat'] == 1200, claims
  assert claims['sub'] == 'system:serviceaccount:default:robot'


def certificate_request(cluster, name, key):
  subprocess.run(['openssl', 'req', '-new', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', key,
                  '-subj', f'/O=dev/CN={name}', '-out', key + '.csr'], check=True, capture_output=True)
  with open(key + '.csr', 'rb') as file:
    encoded = base64.b64encode(file.read()).decode()
  cluster.create({'apiVersion': 'certificates.k8s.io/v1', 'kind': 'CertificateSigningRequest', 'metadata': {'name': name},
                 'spec': {'request': encoded, 'signerName': 'kubernetes.io/kube-apiserver-client', 'usages': ['client auth']}}).ok()


def test_certificate_approve(cluster):
  needs_kubectl(24)  # noqa: F821: given by test/run
  key = os.path.join(cluster.directory, 'jane.key')
  certificate_request(cluster, 'jane', key)
  assert 'Pending' in cluster.kubectl('get', 'csr', 'jane').ok()
  assert 'approved' in cluster.kubectl('certificate', 'approve', 'jane').ok()
  encoded = wait_for(lambda: cluster.kubectl('get', 'csr', 'jane', '-o', 'jsonpath={.status.certificate}').ok(), what='a certificate')
  assert 'Approved,Issued' in cluster.kubectl('get', 'csr', 'jane').ok()
  with open(key + '.crt', 'wb') as file:
    file.write(base64.b64decode(encoded))
  cluster.kubectl('config', 'set-credentials', 'jane', '--client-certificate=' + key + '.crt', '--client-key=' + key).ok()
  info = json.loads(cluster.kubectl('auth', 'whoami', '-o', 'json', '--user=jane').ok())['status']['userInfo']
  assert info['username'] == 'jane' and 'dev' in info['groups'], info
  certificate_request(cluster, 'joe', os.path.join(cluster.directory, 'joe.key'))
  assert 'denied' in cluster.kubectl('certificate', 'deny', 'joe').ok()
  assert 'Denied' in cluster.kubectl('get', 'csr', 'joe').ok()


def owned(cluster, policy):
  owner, child = f'owner-{policy}', f'child-{policy}'
  cluster.kubectl('create', 'configmap', owner).ok()
  uid = cluster.kubectl('get', 'configmap', owner, '-o', 'jsonpath={.metadata.uid}').ok()
  cluster.create({'apiVersion': 'v1', 'kind': 'ConfigMap', 'metadata': {'name': child, 'ownerReferences': [
    {'apiVersion': 'v1', 'kind': 'ConfigMap', 'name': owner, 'uid': uid, 'blockOwnerDeletion': True}]}}).ok()
  cluster.kubectl('delete', 'configmap', owner, f'--cascade={policy}').ok()
  return child


def test_delete_cascade(cluster):
  children = {policy: owned(cluster, policy) for policy in ('foreground', 'background', 'orphan')}
  # Foreground: kubectl waits for the owner, which waits for the child.
  assert 'NotFound' in cluster.kubectl('get', 'configmap', children['foreground']).err
  wait_for(lambda: 'NotFound' in cluster.kubectl('get', 'configmap', children['background']).err, what='the child to go')
  kept = json.loads(cluster.kubectl('get', 'configmap', children['orphan'], '-o', 'json').ok())
  assert 'ownerReferences' not in kept['metadata'], kept
