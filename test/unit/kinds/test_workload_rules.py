#!/usr/bin/env python3
"""Every default and rule in the tables of what makes pods, against a list that was made from upstream.

Whoever adds, takes away or changes a default, an enum, a bound, a format, a list type or the way a resource is
served in these groups has to say so here as well, and where upstream has it. Messages are tested in test_apps.c,
test_batch.c and test_autoscaling.c, what the defaults come to in test_workload_defaults.c.
"""
import os
import sys
import unittest

ROOT = os.environ['TEST_SOURCE_ROOT']
sys.path.insert(0, os.path.join(ROOT, 'tools'))
import kinds  # noqa: E402

GROUPS = ('apps/v1', 'batch/v1', 'autoscaling/v1', 'autoscaling/v2', 'policy/v1')
CORE = ('ReplicationController', 'ReplicationControllerSpec', 'ReplicationControllerStatus',
        'ReplicationControllerCondition', 'PodTemplate', 'PodTemplateSpec')

FIELDS = '''
# pkg/apis/core/v1/defaults.go SetDefaults_ReplicationController, core/validation ValidateReplicationControllerSpec, ...Status
/v1 ReplicationControllerSpec.replicas default=1 range=0..
/v1 ReplicationControllerSpec.minReadySeconds range=0..
/v1 ReplicationControllerStatus.replicas range=0..
/v1 ReplicationControllerStatus.fullyLabeledReplicas range=0..
/v1 ReplicationControllerStatus.readyReplicas range=0..
/v1 ReplicationControllerStatus.availableReplicas range=0..
/v1 ReplicationControllerStatus.observedGeneration range=0..
/v1 ReplicationControllerStatus.conditions list=map:type
# pkg/apis/apps/v1/defaults.go SetDefaults_StatefulSet, apps/validation ValidateStatefulSetSpec, ...Status
apps/v1 StatefulSetUpdateStrategy.type enum=OnDelete|RollingUpdate by-rules
apps/v1 RollingUpdateStatefulSetStrategy.partition default=0 range=0..
apps/v1 RollingUpdateStatefulSetStrategy.maxUnavailable default=1
apps/v1 StatefulSetPersistentVolumeClaimRetentionPolicy.whenDeleted default="Retain" enum=Retain|Delete
apps/v1 StatefulSetPersistentVolumeClaimRetentionPolicy.whenScaled default="Retain" enum=Retain|Delete
apps/v1 StatefulSetOrdinals.start range=0..
apps/v1 StatefulSetSpec.replicas default=1 range=0..
apps/v1 StatefulSetSpec.template by-rules
apps/v1 StatefulSetSpec.podManagementPolicy default="OrderedReady" enum=OrderedReady|Parallel by-rules
apps/v1 StatefulSetSpec.revisionHistoryLimit default=10
apps/v1 StatefulSetSpec.minReadySeconds range=0..
apps/v1 StatefulSetSpec.persistentVolumeClaimRetentionPolicy default={"whenDeleted":"Retain","whenScaled":"Retain"}
apps/v1 StatefulSetStatus.observedGeneration range=0..
apps/v1 StatefulSetStatus.replicas range=0..
apps/v1 StatefulSetStatus.readyReplicas range=0..
apps/v1 StatefulSetStatus.currentReplicas range=0..
apps/v1 StatefulSetStatus.updatedReplicas range=0..
apps/v1 StatefulSetStatus.collisionCount range=0..
apps/v1 StatefulSetStatus.conditions list=map:type
apps/v1 StatefulSetStatus.availableReplicas range=0..
# SetDefaults_Deployment, ValidateDeploymentSpec, ...Strategy, ...Status; strategy.go ValidateUpdate
apps/v1 DeploymentSpec.replicas default=1 range=0..
apps/v1 DeploymentSpec.selector immutable
apps/v1 DeploymentSpec.minReadySeconds range=0..
apps/v1 DeploymentSpec.revisionHistoryLimit default=10 range=0..
apps/v1 DeploymentSpec.progressDeadlineSeconds default=600 range=0..
apps/v1 DeploymentStrategy.type default="RollingUpdate" enum=Recreate|RollingUpdate by-rules
apps/v1 RollingUpdateDeployment.maxUnavailable default="25%"
apps/v1 RollingUpdateDeployment.maxSurge default="25%"
apps/v1 DeploymentStatus.observedGeneration range=0..
apps/v1 DeploymentStatus.replicas range=0..
apps/v1 DeploymentStatus.updatedReplicas range=0..
apps/v1 DeploymentStatus.readyReplicas range=0..
apps/v1 DeploymentStatus.availableReplicas range=0..
apps/v1 DeploymentStatus.unavailableReplicas range=0..
apps/v1 DeploymentStatus.terminatingReplicas range=0..
apps/v1 DeploymentStatus.conditions list=map:type
apps/v1 DeploymentStatus.collisionCount range=0..
# SetDefaults_DaemonSet, ValidateDaemonSetSpec, validateDaemonSetStatus; strategy.go ValidateUpdate
apps/v1 DaemonSetUpdateStrategy.type default="RollingUpdate" enum=OnDelete|RollingUpdate by-rules
apps/v1 RollingUpdateDaemonSet.maxUnavailable default=1
apps/v1 RollingUpdateDaemonSet.maxSurge default=0
apps/v1 DaemonSetSpec.selector immutable
apps/v1 DaemonSetSpec.minReadySeconds range=0..
apps/v1 DaemonSetSpec.revisionHistoryLimit default=10 range=0..
apps/v1 DaemonSetStatus.currentNumberScheduled range=0..
apps/v1 DaemonSetStatus.numberMisscheduled range=0..
apps/v1 DaemonSetStatus.desiredNumberScheduled range=0..
apps/v1 DaemonSetStatus.numberReady range=0..
apps/v1 DaemonSetStatus.observedGeneration range=0..
apps/v1 DaemonSetStatus.updatedNumberScheduled range=0..
apps/v1 DaemonSetStatus.numberAvailable range=0..
apps/v1 DaemonSetStatus.numberUnavailable range=0..
apps/v1 DaemonSetStatus.collisionCount range=0..
apps/v1 DaemonSetStatus.conditions list=map:type
# SetDefaults_ReplicaSet, ValidateReplicaSetSpec, ...Status; strategy.go ValidateUpdate
apps/v1 ReplicaSetSpec.replicas default=1 range=0..
apps/v1 ReplicaSetSpec.minReadySeconds range=0..
apps/v1 ReplicaSetSpec.selector immutable
apps/v1 ReplicaSetStatus.replicas range=0..
apps/v1 ReplicaSetStatus.fullyLabeledReplicas range=0..
apps/v1 ReplicaSetStatus.readyReplicas range=0..
apps/v1 ReplicaSetStatus.availableReplicas range=0..
apps/v1 ReplicaSetStatus.terminatingReplicas range=0..
apps/v1 ReplicaSetStatus.observedGeneration range=0..
apps/v1 ReplicaSetStatus.conditions list=map:type
# ValidateControllerRevision, ValidateControllerRevisionUpdate
apps/v1 ControllerRevision.data immutable
apps/v1 ControllerRevision.revision range=0..
# pkg/apis/autoscaling/v2/defaults.go, autoscaling/validation ValidateHorizontalPodAutoscalerStatusUpdate, ValidateScale
autoscaling/v2 HorizontalPodAutoscalerSpec.minReplicas default=1
autoscaling/v2 HorizontalPodAutoscalerStatus.currentReplicas range=0..
autoscaling/v2 HorizontalPodAutoscalerStatus.desiredReplicas range=0..
autoscaling/v2 HorizontalPodAutoscalerStatus.conditions list=map:type
autoscaling/v1 HorizontalPodAutoscalerSpec.minReplicas default=1
autoscaling/v1 HorizontalPodAutoscalerStatus.currentReplicas range=0..
autoscaling/v1 HorizontalPodAutoscalerStatus.desiredReplicas range=0..
autoscaling/v1 ScaleSpec.replicas range=0..
# pkg/apis/batch/validation validateJobSpec, validatePodFailurePolicy*, validateSuccessPolicy*, validateJobStatus
batch/v1 PodFailurePolicyOnExitCodesRequirement.operator enum=In|NotIn
batch/v1 PodFailurePolicyOnExitCodesRequirement.values max=255 list=set
batch/v1 PodFailurePolicyOnPodConditionsPattern.type format=label-key
batch/v1 PodFailurePolicyOnPodConditionsPattern.status default="True" enum=False|True|Unknown
batch/v1 PodFailurePolicyRule.action enum=Count|FailIndex|FailJob|Ignore
batch/v1 PodFailurePolicyRule.onPodConditions max=20
batch/v1 PodFailurePolicy.rules max=20
batch/v1 SuccessPolicy.rules max=20
batch/v1 SuccessPolicyRule.succeededIndexes max=65536
batch/v1 SuccessPolicyRule.succeededCount range=0..
batch/v1 JobSpec.parallelism range=0..
batch/v1 JobSpec.completions range=0..
batch/v1 JobSpec.activeDeadlineSeconds range=0..
batch/v1 JobSpec.backoffLimit range=0..
batch/v1 JobSpec.backoffLimitPerIndex range=0..
batch/v1 JobSpec.maxFailedIndexes range=0..
batch/v1 JobSpec.ttlSecondsAfterFinished range=0..
batch/v1 JobSpec.completionMode enum=NonIndexed|Indexed
batch/v1 JobSpec.podReplacementPolicy enum=Failed|TerminatingOrFailed by-rules
batch/v1 JobSpec.managedBy max=63
batch/v1 JobStatus.active range=0..
batch/v1 JobStatus.succeeded range=0..
batch/v1 JobStatus.failed range=0..
batch/v1 JobStatus.terminating range=0..
batch/v1 JobStatus.ready range=0..
batch/v1 UncountedTerminatedPods.succeeded list=set
batch/v1 UncountedTerminatedPods.failed list=set
# pkg/apis/batch/v1/defaults.go SetDefaults_CronJob, batch/validation validateCronJobSpec
batch/v1 CronJobSpec.schedule required
batch/v1 CronJobSpec.startingDeadlineSeconds range=0..
batch/v1 CronJobSpec.concurrencyPolicy default="Allow" enum=Allow|Forbid|Replace
batch/v1 CronJobSpec.suspend default=false
batch/v1 CronJobSpec.successfulJobsHistoryLimit default=3 range=0..
batch/v1 CronJobSpec.failedJobsHistoryLimit default=1 range=0..
# pkg/apis/policy/validation ValidatePodDisruptionBudgetSpec, ...StatusUpdate
policy/v1 PodDisruptionBudgetSpec.unhealthyPodEvictionPolicy enum=AlwaysAllow|IfHealthyBudget
policy/v1 PodDisruptionBudgetStatus.disruptionsAllowed range=0..
policy/v1 PodDisruptionBudgetStatus.currentHealthy range=0..
policy/v1 PodDisruptionBudgetStatus.desiredHealthy range=0..
policy/v1 PodDisruptionBudgetStatus.expectedPods range=0..
policy/v1 PodDisruptionBudgetStatus.conditions list=map:type
'''

# The storages' ShortNames and Categories, the strategies' generation, the *ToSelectableFields functions and
# AllowUnconditionalUpdate: pkg/registry/{apps,batch,autoscaling,policy,core}.
RESOURCES = '''
/v1 podtemplates PodTemplate namespaced generation
/v1 replicationcontrollers ReplicationController namespaced status generation short=rc categories=all fields=status.replicas subresources=status,scale
apps/v1 controllerrevisions ControllerRevision namespaced
apps/v1 daemonsets DaemonSet namespaced status generation short=ds categories=all subresources=status
apps/v1 deployments Deployment namespaced status generation annotations short=deploy categories=all subresources=status,scale
apps/v1 replicasets ReplicaSet namespaced status generation short=rs categories=all fields=status.replicas subresources=status,scale
apps/v1 statefulsets StatefulSet namespaced status generation short=sts categories=all subresources=status,scale
autoscaling/v2 horizontalpodautoscalers HorizontalPodAutoscaler namespaced status short=hpa categories=all subresources=status
autoscaling/v1 horizontalpodautoscalers HorizontalPodAutoscaler namespaced status short=hpa categories=all subresources=status
batch/v1 cronjobs CronJob namespaced status generation short=cj categories=all subresources=status
batch/v1 jobs Job namespaced status generation categories=all fields=status.successful subresources=status
policy/v1 poddisruptionbudgets PodDisruptionBudget namespaced status generation short=pdb subresources=status
'''


def lines(text):
  return [line for line in text.strip().split('\n') if not line.startswith('#')]


def version(group):
  return '%s/%s' % (group.group, group.version)


def bound(number):
  return '' if number is None else number


def rules_of(field):
  words = []
  if field.default is not None:
    words.append('default=' + field.default)
  if field.enum:
    words.append('enum=' + '|'.join(field.enum))
  if field.minimum is not None or field.maximum is not None:
    words.append('range=%s..%s' % (bound(field.minimum), bound(field.maximum)))
  if field.max_length:
    words.append('max=%d' % field.max_length)
  if field.format:
    words.append('format=' + field.format)
  words += [word for flag, word in (('REQUIRED', 'required'), ('IMMUTABLE', 'immutable'),
                                    ('BY_RULES', 'by-rules'), ('DUPLICATES', 'duplicates'))
            if flag in field.flags]
  if field.list_type != 'atomic':
    words.append(':'.join(['list=' + field.list_type] + ([','.join(field.keys)] if field.keys else [])))
  return words


def way_of(resource):
  words = ['namespaced' if resource.namespaced else 'cluster']
  words += [word for word, is_set in (('status', resource.status), ('generation', resource.generation),
                                      ('annotations', resource.generation_annotations)) if is_set]
  words += ['%s=%s' % (word, ','.join(values))
            for word, values in (('short', resource.short), ('categories', resource.categories),
                                 ('fields', resource.fields),
                                 ('subresources', [s.name for s in resource.subresources])) if values]
  return words


class WorkloadRules(unittest.TestCase):
  maxDiff = None

  @classmethod
  def setUpClass(cls):
    folder = os.path.join(ROOT, 'kinds')
    cls.model = kinds.load(sorted(os.path.join(folder, f) for f in os.listdir(folder)
                                  if f.endswith('.kinds')))

  def test_fields(self):
    found = ['%s %s.%s %s' % (version(kind.group), kind.name, field.name, ' '.join(rules_of(field)))
             for kind in self.model.types for field in kind.fields
             if rules_of(field) and (version(kind.group) in GROUPS or
                                     kind.group.group == '' and kind.name in CORE)]
    self.assertEqual(sorted(found), sorted(lines(FIELDS)))

  def test_resources(self):
    found = ['%s %s %s %s' % (version(r.group), r.plural, r.kind, ' '.join(way_of(r)))
             for r in self.model.resources
             if version(r.group) in GROUPS or r.group.group == '' and r.kind in CORE]
    self.assertEqual(sorted(found), sorted(lines(RESOURCES)))


if __name__ == '__main__':
  unittest.main()
