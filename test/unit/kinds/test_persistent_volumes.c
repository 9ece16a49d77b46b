// PersistentVolumes and their claims. Paths and messages: ValidatePersistentVolumeSpec,
// ValidatePersistentVolumeClaimSpec and their updates in upstream's
// pkg/apis/core/validation/validation.go.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cases.h"

#define BASE "'capacity':{'storage':'1Gi'},'accessModes':['ReadWriteOnce']"
#define VOLUME(rest) "{'spec':{" BASE "," rest "}}"
#define LOCAL                                                                                      \
    "'local':{'path':'/"                                                                           \
    "disk'},'nodeAffinity':{'required':{'nodeSelectorTerms':[{'matchExpressions':"                 \
    "[{'key':'k','operator':'In','values':['v']}]}]}}"
#define CSI "'csi':{'driver':'d.example.com','volumeHandle':'h'}"

// SetDefaults_PersistentVolume and the strategy's PrepareForCreate.
static void test_volume_defaults(void **state) {
    const Resource *volumes = kinds_resource_core_v1_persistentvolumes();
    const char *json = "{'metadata':{'creationTimestamp':'2026-01-01T00:00:00Z'},'spec':{" BASE
                       ",'hostPath':{'path':'/a'}},"
                       "'status':{'phase':'Bound'}}";
    check_made(volumes, json, "spec",
               "{'capacity':{'storage':'1Gi'},'accessModes':['ReadWriteOnce'],'hostPath':{'path':'/"
               "a','type':''},"
               "'persistentVolumeReclaimPolicy':'Retain','volumeMode':'Filesystem'}");
    check_made(volumes, json, "status",
               "{'phase':'Pending','lastPhaseTransitionTime':'2026-01-01T00:00:00Z'}");
}

static void test_volumes(void **state) {
    CHECK(kinds_resource_core_v1_persistentvolumes(), {VOLUME("'hostPath':{'path':'/a'}"), ""},
          {VOLUME(LOCAL), ""}, {VOLUME(CSI ",'volumeAttributesClassName':'gold'"), ""},
          {VOLUME("'nfs':{'server':'s','path':'/"
                  "p'},'persistentVolumeReclaimPolicy':'Delete','volumeMode':'Block'"),
           ""},
          {"{'spec':{'hostPath':{'path':'/a'}}}",
           "spec.capacity: Required value\nspec.accessModes: Required value\n"},
          {"{'spec':{'capacity':{'cpu':'1'},'accessModes':['ReadWriteOnce'],'hostPath':{'path':'/"
           "a'}}}",
           "spec.capacity: Unsupported value: {\"cpu\":\"1\"}: supported values: \"storage\"\n"},
          {"{'spec':{'capacity':{'storage':'0'},'accessModes':['ReadWriteOnce'],'hostPath':{'path':"
           "'/a'}}}",
           "spec.capacity[storage]: Invalid value: \"0\": must be greater than zero\n"},
          {"{'spec':{'capacity':{'storage':'1'},'accessModes':['Often','ReadWriteOncePod','"
           "ReadOnlyMany'],"
           "'hostPath':{'path':'/a'}}}",
           "spec.accessModes: Unsupported value: \"Often\": supported values: \"ReadOnlyMany\", "
           "\"ReadWriteMany\", "
           "\"ReadWriteOnce\", \"ReadWriteOncePod\"\n"
           "spec.accessModes: Forbidden: may not use ReadWriteOncePod with other access modes\n"},
          {VOLUME("'volumeMode':'Tape'"), "spec.volumeMode: Unsupported value: \"Tape\": supported "
                                          "values: \"Block\", \"Filesystem\"\n"
                                          "spec: Required value: must specify a volume type\n"},
          {VOLUME("'hostPath':{'path':'/a'},'nfs':{'server':'s','path':'/p'}"),
           "spec.nfs: Forbidden: may not specify more than 1 volume type\n"},
          {VOLUME("'nfs':{'server':'s','path':'p'}"),
           "spec.nfs.path: Invalid value: \"p\": must be an absolute path\n"},
          {VOLUME("'hostPath':{'path':'/a/../b'}"),
           "spec.hostPath.path: Invalid value: \"/a/../b\": must not contain '..'\n"},
          {VOLUME("'hostPath':{'path':'/'},'persistentVolumeReclaimPolicy':'Recycle'"),
           "spec.persistentVolumeReclaimPolicy: Forbidden: may not be 'recycle' for a hostPath "
           "mount of '/'\n"},
          {VOLUME("'hostPath':{'path':'/a'},'persistentVolumeReclaimPolicy':'Burn'"),
           "spec.persistentVolumeReclaimPolicy: Unsupported value: \"Burn\": supported values: "
           "\"Delete\", \"Recycle\", "
           "\"Retain\"\n"},
          {VOLUME("'local':{'path':'/disk'}"),
           "spec.nodeAffinity: Required value: Local volume requires node affinity\n"},
          {VOLUME("'local':{},'nodeAffinity':{}"),
           "spec.local.path: Required value\n"
           "spec.nodeAffinity.required: Required value: must specify required node constraints\n"},
          {VOLUME("'hostPath':{'path':'/a'},'nodeAffinity':{'required':{'nodeSelectorTerms':[]}}"),
           "spec.nodeAffinity.required.nodeSelectorTerms: Required value: must have at least one "
           "node selector term\n"},
          {VOLUME("'csi':{'driver':'','controllerPublishSecretRef':{'name':'s'},'"
                  "nodePublishSecretRef':{'namespace':'n'}}"),
           "spec.csi.driver: Required value\nspec.csi.volumeHandle: Required value\n"
           "spec.csi.controllerPublishSecretRef.namespace: Required value\n"
           "spec.csi.nodePublishSecretRef.name: Required value\n"},
          {VOLUME("'hostPath':{'path':'/a'},'volumeAttributesClassName':''"),
           "spec.volumeAttributesClassName: Required value: an empty string is disallowed\n"
           "spec.csi: Required value: has to be specified when using volumeAttributesClassName\n"});
}

// Defaults of sources (pkg/apis/core/v1/defaults.go) and what each must have
// (validate*PersistentVolumeSource).
static void test_volume_sources(void **state) {
    static const struct {
        const char *source, *made, *without, *problems;
    } sources[] = {
        {"'iscsi':{'targetPortal':'p','iqn':'q'}",
         "{'targetPortal':'p','iqn':'q','lun':0,'iscsiInterface':'default'}", "'iscsi':{}",
         "spec.iscsi.targetPortal: Required value\nspec.iscsi.iqn: Required value\n"},
        {"'rbd':{'monitors':['m'],'image':'i'}",
         "{'monitors':['m'],'image':'i','pool':'rbd','user':'admin','keyring':'/etc/ceph/keyring'}",
         "'rbd':{}", "spec.rbd.monitors: Required value\nspec.rbd.image: Required value\n"},
        {"'scaleIO':{'gateway':'g','system':'s','secretRef':{}}",
         "{'gateway':'g','system':'s','secretRef':{},'storageMode':'ThinProvisioned','fsType':'xfs'"
         "}",
         "'scaleIO':{}",
         "spec.scaleIO.gateway: Required value\nspec.scaleIO.system: Required value\n"},
        {"'azureFile':{'secretName':'s','shareName':'t'}", "{'secretName':'s','shareName':'t'}",
         "'azureFile':{}",
         "spec.azureFile.secretName: Required value\nspec.azureFile.shareName: Required value\n"},
        {"'glusterfs':{'endpoints':'e','path':'p'}", "{'endpoints':'e','path':'p'}",
         "'glusterfs':{}",
         "spec.glusterfs.endpoints: Required value\nspec.glusterfs.path: Required value\n"},
        {"'cinder':{'volumeID':'v'}", "{'volumeID':'v'}", "'cinder':{}",
         "spec.cinder.volumeID: Required value\n"},
        {"'cephfs':{'monitors':['m']}", "{'monitors':['m']}", "'cephfs':{}",
         "spec.cephfs.monitors: Required value\n"},
        {"'flexVolume':{'driver':'d'}", "{'driver':'d'}", "'flexVolume':{}",
         "spec.flexVolume.driver: Required value\n"},
    };
    const Resource *volumes = kinds_resource_core_v1_persistentvolumes();
    for (size_t i = 0; i < sizeof sources / sizeof *sources; i++) {
        _arena_free_ Arena *arena = arena_new();
        Value *made;
        const char *json = arena_printf(arena, VOLUME("%s"), sources[i].source).ptr;
        assert_string_equal(road_create(arena, volumes, json, &made), "");
        const char *end = strchr(sources[i].source + 1, '\'');
        Str name = str_of(sources[i].source + 1, (size_t)(end - sources[i].source) - 1);
        road_assert_json(arena, value_get(value_get(made, STR("spec")), name), sources[i].made);
        json = arena_printf(arena, VOLUME("%s"), sources[i].without).ptr;
        assert_string_equal(road_create(arena, volumes, json, NULL), sources[i].problems);
    }
}

static void test_volume_updates(void **state) {
    CHECK_CHANGES(
        kinds_resource_core_v1_persistentvolumes(),
        {VOLUME(CSI),
         "{'spec':{'capacity':{'storage':'2Gi'},'accessModes':['ReadOnlyMany'],'csi':{'driver':'d."
         "example.com',"
         "'volumeHandle':'h','controllerExpandSecretRef':{'name':'s','namespace':'n'}}}}",
         ""},
        {VOLUME("'nfs':{'server':'s','path':'/p'}"), VOLUME("'nfs':{'server':'t','path':'/p'}"),
         "spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after "
         "creation\n"
         "- spec.nfs.server: \"s\"\n+ spec.nfs.server: \"t\"\n\n"},
        {VOLUME(CSI), VOLUME(CSI ",'volumeMode':'Block'"),
         "volumeMode: Invalid value: \"Block\": field is immutable\n"},
        {VOLUME(LOCAL),
         VOLUME("'local':{'path':'/disk'},'nodeAffinity':{'required':{'nodeSelectorTerms':[{}]}}"),
         "nodeAffinity: Invalid value: {\"required\":{\"nodeSelectorTerms\":[{}]}}: field is "
         "immutable\n"},
        {VOLUME(CSI ",'volumeAttributesClassName':'gold'"), VOLUME(CSI),
         "spec.volumeAttributesClassName: Forbidden: update from non-nil value to nil is "
         "forbidden\n"});
}

#define CLAIM(rest)                                                                                \
    "{'spec':{'accessModes':['ReadWriteOnce'],'resources':{'requests':{'storage':'2Gi'}}" rest "}" \
    "}"

static void test_claims(void **state) {
    const Resource *claims = kinds_resource_core_v1_persistentvolumeclaims();
    CHECK(claims, {CLAIM(""), ""}, {CLAIM(",'storageClassName':''"), ""},
          {"{'spec':{}}", "spec.accessModes: Required value: at least 1 access mode is required\n"
                          "spec.resources[storage]: Required value\n"},
          {"{'spec':{'accessModes':['Never'],'resources':{'requests':{'storage':'-1'}}}}",
           "spec.accessModes: Unsupported value: \"Never\": supported values: \"ReadOnlyMany\", "
           "\"ReadWriteMany\", "
           "\"ReadWriteOnce\", \"ReadWriteOncePod\"\n"
           "spec.resources[storage]: Invalid value: \"-1\": must be greater than zero\n"},
          {CLAIM(",'volumeMode':'Tape'"), "spec.volumeMode: Unsupported value: \"Tape\": supported "
                                          "values: \"Block\", \"Filesystem\"\n"},
          {CLAIM(",'dataSourceRef':{'kind':'Thing','name':''}"),
           "spec.dataSourceRef.name: Required value\n"
           "spec.dataSourceRef: Invalid value: \"Thing\": must be 'PersistentVolumeClaim' when "
           "referencing the default "
           "apiGroup\n"},
          {CLAIM(",'dataSource':{'kind':'PersistentVolumeClaim','name':'a'},'dataSourceRef':{'kind'"
                 ":'PersistentVolumeClaim',"
                 "'name':'b'}"),
           "spec: Invalid value: \"spec.dataSource\": must match dataSourceRef\n"});
    // NormalizeDataSources and EnforceDataSourceBackwardsCompatibility
    // (pkg/api/persistentvolumeclaim/util.go)
    check_made(claims, CLAIM(",'dataSource':{'kind':'PersistentVolumeClaim','name':'a'}"),
               "spec.dataSourceRef", "{'kind':'PersistentVolumeClaim','name':'a'}");
    check_made(claims,
               CLAIM(",'dataSourceRef':{'apiGroup':'snapshot.storage.k8s.io','kind':'"
                     "VolumeSnapshot','name':'a'}"),
               "spec.dataSource",
               "{'apiGroup':'snapshot.storage.k8s.io','kind':'VolumeSnapshot','name':'a'}");
    check_made(claims, CLAIM(",'dataSource':{'apiGroup':'example.com','kind':'Thing','name':'a'}"),
               "spec",
               "{'accessModes':['ReadWriteOnce'],'resources':{'requests':{'storage':'2Gi'}},'"
               "volumeMode':'Filesystem'}");
    check_made(claims, CLAIM(""), "status", "{'phase':'Pending'}");
}

#define SIZED(size, rest)                                                                          \
    "{'spec':{'accessModes':['ReadWriteOnce'],'resources':{'requests':{'storage':'" size           \
    "'}}" rest "}}"
#define IMMUTABLE                                                                                  \
    "spec: Forbidden: spec is immutable after creation except resources.requests and "             \
    "volumeAttributesClassName for bound "                                                         \
    "claims\n"

// An update of a claim whose status says that it is bound and holds 1Gi.
static const char *update_bound(Arena *arena, const char *old_json, const char *json) {
    const Resource *claims = kinds_resource_core_v1_persistentvolumeclaims();
    FieldErrors errors = {.arena = arena};
    Value *old, *object;
    assert_string_equal(road_create(arena, claims, old_json, &old), "");
    value_set(arena, old, STR("status"),
              road_parse(arena, "{'phase':'Bound','capacity':{'storage':'1Gi'}}"));
    object = road_prepare(arena, claims, json, old);
    value_set(arena, object, STR("status"), value_get(old, STR("status")));
    schema_validate(&errors, claims, object, old);
    return road_problems(&errors);
}

static void test_claim_updates(void **state) {
    _arena_free_ Arena *arena = arena_new();
    CHECK_CHANGES(kinds_resource_core_v1_persistentvolumeclaims(),
                  {SIZED("1Gi", ""), SIZED("1Gi", ",'volumeName':'v','storageClassName':'c'"), ""},
                  {SIZED("1Gi", ""), SIZED("2Gi", ""),
                   IMMUTABLE "- spec.resources.requests.storage: \"1Gi\"\n+ "
                             "spec.resources.requests.storage: \"2Gi\"\n\n"},
                  {SIZED("1Gi", ",'storageClassName':'a'"), SIZED("1Gi", ",'storageClassName':'b'"),
                   IMMUTABLE "- spec.storageClassName: \"a\"\n+ spec.storageClassName: \"b\"\n\n"},
                  {SIZED("1Gi", ",'volumeAttributesClassName':'a'"), SIZED("1Gi", ""),
                   IMMUTABLE
                   "- spec.volumeAttributesClassName: \"a\"\n\n"
                   "spec.volumeAttributesClassName: Forbidden: update from non-nil value to nil is "
                   "forbidden\n"});
    assert_string_equal(
        update_bound(arena, SIZED("2Gi", ""), SIZED("3Gi", ",'volumeAttributesClassName':'a'")),
        "");
    assert_string_equal(update_bound(arena, SIZED("4Gi", ""), SIZED("2Gi", "")), "");
    assert_string_equal(
        update_bound(arena, SIZED("2Gi", ""), SIZED("1Gi", "")),
        "spec.resources.requests.storage: Forbidden: field can not be less than status.capacity\n");
    assert_string_equal(
        update_bound(arena, SIZED("2Gi", ",'volumeName':'v'"), SIZED("2Gi", ",'volumeName':'w'")),
        IMMUTABLE "- spec.volumeName: \"v\"\n+ spec.volumeName: \"w\"\n\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_volume_defaults), cmocka_unit_test(test_volumes),
        cmocka_unit_test(test_volume_sources),  cmocka_unit_test(test_volume_updates),
        cmocka_unit_test(test_claims),          cmocka_unit_test(test_claim_updates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
