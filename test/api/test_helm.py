"""helm 4: a chart is installed, upgraded, rolled back and uninstalled; a failed upgrade leaves what was."""
import json
import os
import subprocess

from harness import clients
from harness.cluster import Result

CLUSTER = {'node': False}

CHART = {
  'Chart.yaml': 'apiVersion: v2\nname: shop\nversion: 1.0.0\nappVersion: "7"\n',
  'values.yaml': 'color: red\nreplicas: 0\nextra: false\nport: 80\n',
  'crds/orders.yaml': '''apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: orders.shop.example.com}
spec:
  group: shop.example.com
  scope: Namespaced
  names: {plural: orders, singular: order, kind: Order}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec: {type: object, properties: {item: {type: string}}}
''',
  'templates/config.yaml': '''apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ .Release.Name }}-config
  labels: {app.kubernetes.io/managed-by: {{ .Release.Service }}}
data:
  color: {{ .Values.color | quote }}
  release: {{ .Release.Revision | quote }}
  version: {{ .Capabilities.KubeVersion.Version | quote }}
''',
  'templates/access.yaml': '''apiVersion: v1
kind: ServiceAccount
metadata: {name: shop}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: shop}
rules:
- {apiGroups: [""], resources: [configmaps], verbs: [get]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: shop}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: shop}
subjects:
- {kind: ServiceAccount, name: shop, namespace: {{ .Release.Namespace }}}
''',
  'templates/workload.yaml': '''apiVersion: apps/v1
kind: Deployment
metadata: {name: shop}
spec:
  replicas: {{ .Values.replicas }}
  selector: {matchLabels: {app: shop}}
  template:
    metadata:
      labels: {app: shop}
      annotations: {color: {{ .Values.color }}}
    spec:
      containers:
      - {name: shop, image: "busybox:1", env: [{name: COLOR, value: {{ .Values.color }}}]}
---
apiVersion: v1
kind: Service
metadata: {name: shop}
spec:
  selector: {app: shop}
  ports: [{name: http, port: {{ .Values.port }}}]
''',
  'templates/order.yaml': '''apiVersion: shop.example.com/v1
kind: Order
metadata: {name: first}
spec: {item: {{ .Values.color }}-shirt}
''',
  'templates/extra.yaml': '''{{ if .Values.extra }}
apiVersion: v1
kind: Secret
metadata: {name: extra}
stringData: {key: value}
{{ end }}
''',
}


class Helm:
  def __init__(self, cluster):
    self.program, self.cluster = clients.helm(), cluster
    if not self.program:
      raise Skip('helm cannot be had here')  # noqa: F821
    self.home = os.path.join(cluster.directory, 'helm')
    self.chart = os.path.join(self.home, 'shop')
    for name, text in CHART.items():
      path = os.path.join(self.chart, name)
      os.makedirs(os.path.dirname(path), exist_ok=True)
      with open(path, 'w', encoding='utf-8') as file:
        file.write(text)

  def run(self, *words):
    environment = os.environ | {'KUBECONFIG': self.cluster.kubeconfig, 'HOME': self.home, 'HELM_CACHE_HOME': self.home + '/cache',
                                'HELM_CONFIG_HOME': self.home + '/config', 'HELM_DATA_HOME': self.home + '/data'}
    return Result(subprocess.run([self.program, *words], capture_output=True, text=True, check=False, timeout=120, env=environment))


def color(cluster):
  return cluster.json('get', 'configmap', 'web-config', '-n', 'shop')['data']['color']


def test_release(cluster):
  helm = Helm(cluster)
  helm.run('install', 'web', helm.chart, '--namespace', 'shop', '--create-namespace').ok()
  config = cluster.json('get', 'configmap', 'web-config', '-n', 'shop')
  assert config['data'] == {'color': 'red', 'release': '1', 'version': cluster.json('version')['serverVersion']['gitVersion']}, config
  assert config['metadata']['annotations']['meta.helm.sh/release-name'] == 'web'
  assert cluster.json('get', 'order', 'first', '-n', 'shop')['spec'] == {'item': 'red-shirt'}
  cluster.kubectl('auth', 'can-i', 'get', 'configmaps', '-n', 'shop', '--as', 'system:serviceaccount:shop:shop').ok()
  helm.run('install', 'web', helm.chart, '--namespace', 'shop').fails('in use')

  helm.run('upgrade', 'web', helm.chart, '--namespace', 'shop', '--set', 'color=blue,extra=true,port=8080').ok()
  assert color(cluster) == 'blue'
  assert cluster.json('get', 'secret', 'extra', '-n', 'shop')['data'] == {'key': 'dmFsdWU='}
  assert cluster.json('get', 'service', 'shop', '-n', 'shop')['spec']['ports'][0]['port'] == 8080
  assert cluster.json('get', 'deployment', 'shop', '-n', 'shop')['spec']['template']['metadata']['annotations'] == {'color': 'blue'}

  # A change that the API refuses fails the release and says why.
  helm.run('upgrade', 'web', helm.chart, '--namespace', 'shop', '--reuse-values', '--set', 'port=70000').fails('must be between 1 and 65535')
  history = json.loads(helm.run('history', 'web', '--namespace', 'shop', '-o', 'json').ok())
  assert [h['status'] for h in history] == ['superseded', 'deployed', 'failed'], history
  assert cluster.json('get', 'service', 'shop', '-n', 'shop')['spec']['ports'][0]['port'] == 8080

  helm.run('rollback', 'web', '1', '--namespace', 'shop').ok()
  assert color(cluster) == 'red'
  cluster.kubectl('get', 'secret', 'extra', '-n', 'shop').fails('NotFound')
  assert cluster.json('get', 'service', 'shop', '-n', 'shop')['spec']['ports'][0]['port'] == 80
  assert 'STATUS: deployed' in helm.run('status', 'web', '--namespace', 'shop').ok()

  helm.run('uninstall', 'web', '--namespace', 'shop').ok()
  left = cluster.kubectl('get', 'configmap,service,deployment,role,rolebinding,orders', '-n', 'shop', '-o', 'name').ok().split()
  assert left == ['configmap/kube-root-ca.crt'], left
  cluster.kubectl('get', 'crd', 'orders.shop.example.com').ok()  # helm never deletes those
  assert json.loads(helm.run('list', '-A', '-o', 'json').ok()) == []
