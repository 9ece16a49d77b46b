// What is wrong with volumes and with how containers mount them.

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "pod_road.h"

// A pod with one volume of these members, called v.
static const char *volume(Arena *arena, const char *members) {
    return pod_spec(arena, arena_printf(arena, "'volumes':[{'name':'v',%s}]", members).ptr);
}
// A pod with the volume v (an empty directory) and p (a claim), mounted as given.
static const char *mounted(Arena *arena, const char *members) {
    return pod_create(arena, "",
                      arena_printf(arena,
                                   "'volumes':[{'name':'v'},{'name':'p','persistentVolumeClaim':{"
                                   "'claimName':'x'}}],'containers':[{'name':'c','image':'i',%s}]",
                                   members)
                          .ptr,
                      NULL);
}

#define V "spec.volumes[0]"
#define MODE "must be a number between 0 and 0777 (octal), both inclusive\n"

static void test_sources(void **state) {
    static const PodCase cases[] = {
        {"'emptyDir':{'sizeLimit':'1Gi'}", ""},
        {"'emptyDir':{'sizeLimit':'-1'}",
         V ".emptyDir.sizeLimit: Forbidden: SizeLimit field must be a valid resource quantity\n"},
        {"'emptyDir':{},'hostPath':{'path':'/x'}",
         V ".hostPath: Forbidden: may not specify more than 1 volume type\n"},
        {"'hostPath':{}", V ".hostPath.path: Required value\n"},
        {"'hostPath':{'path':'/a/../b'}",
         V ".hostPath.path: Invalid value: \"/a/../b\": must not contain '..'\n"},
        {"'hostPath':{'path':'/a..b','type':'x'}",
         V ".hostPath.type: Unsupported value: \"x\": supported values: \"\", \"BlockDevice\", "
           "\"CharDevice\", \"Directory\", \"DirectoryOrCreate\", \"File\", \"FileOrCreate\", "
           "\"Socket\"\n"},
        {"'secret':{'defaultMode':512}", V ".secret.secretName: Required value\n" V
                                           ".secret.defaultMode: Invalid value: 512: " MODE},
        {"'secret':{'secretName':'s','items':[{'key':'k','path':'/a','mode':-1},{}]}",
         V ".secret.items[1].key: Required value\n" V ".secret.items[1].path: Required value\n" V
           ".secret.items[0].path: Invalid value: \"/a\": must be a relative path\n" V
           ".secret.items[0].mode: Invalid value: -1: " MODE},
        {"'configMap':{'items':[{'key':'k','path':'..a'}]}",
         V ".configMap.name: Required value\n" V
           ".configMap.items[0].path: Invalid value: \"..a\": must not start with '..'\n"},
        {"'persistentVolumeClaim':{}", V ".persistentVolumeClaim.claimName: Required value\n"},
        {"'nfs':{'server':'s','path':'x'}",
         V ".nfs.path: Invalid value: \"x\": must be an absolute path\n"},
        {"'gitRepo':{'directory':'../x'}",
         V ".gitRepo.repository: Required value\n" V
           ".gitRepo.directory: Invalid value: \"../x\": must not contain '..'\n"},
        {"'fc':{}",
         V ".fc.targetWWNs: Required value: must specify either targetWWNs or wwids, but "
           "not both\n"},
        {"'fc':{'targetWWNs':['a']}",
         V ".fc.lun: Required value: lun is required if targetWWNs is specified\n"},
        {"'iscsi':{'targetPortal':'p','iqn':'iqn.x','lun':256,'chapAuthSession':true}",
         V ".iscsi.lun: Invalid value: 256: must be between 0 and 255, inclusive\n" V
           ".iscsi.secretRef: Required value\n"},
        {"'csi':{}", V ".csi.driver: Required value\n"},
        {"'csi':{'driver':'D.example','nodePublishSecretRef':{}}",
         V ".csi.nodePublishSecretRef.name: Required value\n"},
        {"'image':{'pullPolicy':'Never'}", V ".image.reference: Required value\n"},
    };
    pod_check(POD_CASES(cases), volume);
}

static void test_names(void **state) {
    static const PodCase cases[] = {
        {"'volumes':[{}]", V ".name: Required value\n"},
        {"'volumes':[{'name':'v'},{'name':'v'}]", "spec.volumes[1].name: Duplicate value: \"v\"\n"},
        {"'volumes':[{'name':'a.b'}]", V ".name: Invalid value: \"a.b\": must not contain dots\n"},
    };
    pod_check(POD_CASES(cases), pod_spec);
}

static void test_downward(void **state) {
    static const PodCase cases[] = {
        {"'downwardAPI':{'items':[{'path':'a','fieldRef':{'fieldPath':'metadata.labels'}},{'path':"
         "'b','resourceFieldRef':{'containerName':'c','resource':'limits.cpu'}}]}",
         ""},
        {"'downwardAPI':{'items':[{}]}",
         V ".downwardAPI.path: Required value\n" V
           ".downwardAPI: Required value: one of fieldRef and resourceFieldRef is required\n"},
        {"'downwardAPI':{'items':[{'path':'a','fieldRef':{'fieldPath':'spec.nodeName'}}]}",
         V ".downwardAPI.fieldRef.fieldPath: Unsupported value: \"spec.nodeName\": supported "
           "values: \"metadata.annotations\", \"metadata.labels\", \"metadata.name\", "
           "\"metadata.namespace\", \"metadata.uid\"\n"},
        {"'downwardAPI':{'items':[{'path':'a','resourceFieldRef':{'resource':'limits.cpu'}}]}",
         V ".downwardAPI.resourceFieldRef.containerName: Required value\n"},
        {"'downwardAPI':{'items':[{'path':'a','mode':512,'fieldRef':{'fieldPath':'metadata.uid'},"
         "'resourceFieldRef':{'containerName':'c','resource':'limits.cpu'}}]}",
         V ".downwardAPI: Invalid value: \"resource\": fieldRef and resourceFieldRef can not be "
           "specified simultaneously\n" V ".downwardAPI.mode: Invalid value: 512: " MODE},
    };
    pod_check(POD_CASES(cases), volume);
}

#define P V ".projected"

static void test_projected(void **state) {
    static const PodCase cases[] = {
        {"'projected':{'sources':[{'configMap':{'name':'c'}},{'secret':{'name':'s','items':[{'key':"
         "'k','path':'p'}]}}]}",
         ""},
        {"'projected':{'sources':[{'configMap':{}}],'defaultMode':-1}", P
         ".defaultMode: Invalid value: -1: " MODE P ".sources[0].configMap.name: Required value\n"},
        {"'projected':{'sources':[{'configMap':{'name':'c','items':[{'key':'k','path':'p'}]}},{"
         "'secret':{'name':'s','items':[{'key':'k','path':'p'}]}}]}",
         P ": Invalid value: \"s\": conflicting duplicate paths\n"},
        {"'projected':{'sources':[{'configMap':{'name':'c'},'secret':{'name':'s'}}]}",
         P ".sources[0]: Forbidden: may not specify more than 1 volume type per source\n"},
        {"'projected':{'sources':[{'serviceAccountToken':{'expirationSeconds':5}}]}",
         P ".sources[0].serviceAccountToken.expirationSeconds: Invalid value: 5: may not specify a "
           "duration less than 10 minutes\n" P ".path: Required value\n" P
           ".sources[0].serviceAccountToken: Forbidden: must not be specified when "
           "serviceAccountName is not set\n"},
    };
    pod_check(POD_CASES(cases), volume);
    static const PodCase token[] = {
        {"'serviceAccountName':'a','volumes':[{'name':'v','projected':{'sources':[{"
         "'serviceAccountToken':{'path':'t'}},{'downwardAPI':{'items':[{'path':'n','fieldRef':{"
         "'fieldPath':'metadata.namespace'}}]}}]}}]",
         ""},
    };
    pod_check(POD_CASES(token), pod_spec);
}

#define E V ".ephemeral.volumeClaimTemplate"

static void test_ephemeral(void **state) {
    static const PodCase cases[] = {
        {"'ephemeral':{'volumeClaimTemplate':{'spec':{'accessModes':['ReadWriteOnce'],'resources':{"
         "'requests':{'storage':'1Gi'}}}}}",
         ""},
        {"'ephemeral':{}", E ": Required value\n"},
        {"'ephemeral':{'volumeClaimTemplate':{'metadata':{'name':'x'},'spec':{}}}",
         E ".metadata.name: Forbidden: cannot be set\n" E
           ".spec.accessModes: Required value: at least 1 access mode is required\n" E
           ".spec.resources[storage]: Required value\n"},
        {"'ephemeral':{'volumeClaimTemplate':{'spec':{'accessModes':['ReadWriteOnce',"
         "'ReadWriteOncePod'],'resources':{'requests':{'storage':0}}}}}",
         E ".spec.accessModes: Forbidden: may not use ReadWriteOncePod with other access modes\n" E
           ".spec.resources[storage]: Invalid value: \"0\": must be greater than zero\n"},
    };
    pod_check(POD_CASES(cases), volume);
    static const PodCase both[] = {
        {"'volumes':[{'name':'v','persistentVolumeClaim':{'claimName':'p-w'}},{'name':'w',"
         "'ephemeral':{'volumeClaimTemplate':{'spec':{'accessModes':['ReadWriteOnce'],'resources':{"
         "'requests':{'storage':'1Gi'}}}}}}]",
         V
         ".persistentVolumeClaim.claimName: Invalid value: \"p-w\": must not reference a PVC that "
         "gets created for an ephemeral volume\n"},
    };
    pod_check(POD_CASES(both), pod_spec);
}

#define M "spec.containers[0].volumeMounts"
#define MOUNT(members) "'volumeMounts':[{'name':'v','mountPath':'/v'," members "}]"

static void test_mounts(void **state) {
    static const PodCase cases[] = {
        {MOUNT("'subPath':'a/b','readOnly':true,'recursiveReadOnly':'Enabled'"), ""},
        {"'volumeMounts':[{'name':'x','mountPath':'/x'}]", M "[0].name: Not found: \"x\"\n"},
        {"'volumeMounts':[{'name':'v'}]", M "[0].mountPath: Required value\n"},
        {"'volumeMounts':[{'name':'v','mountPath':'/v'},{'name':'p','mountPath':'/v'}]",
         M "[1].mountPath: Invalid value: \"/v\": must be unique\n"},
        {MOUNT("'subPath':'/a'"), M ".subPath: Invalid value: \"/a\": must be a relative path\n"},
        {MOUNT("'subPath':'a','subPathExpr':'../b'"),
         M "[0].subPathExpr: Invalid value: \"../b\": subPathExpr and subPath are mutually "
           "exclusive\n" M ".subPathExpr: Invalid value: \"../b\": must not contain '..'\n"},
        {MOUNT("'mountPropagation':'x'"),
         M ".mountPropagation: Unsupported value: \"x\": supported values: \"Bidirectional\", "
           "\"HostToContainer\", \"None\"\n"},
        {MOUNT("'mountPropagation':'Bidirectional'"),
         M ".mountPropagation: Forbidden: Bidirectional mount propagation is available only to "
           "privileged containers\n"},
        {MOUNT("'mountPropagation':'Bidirectional'") ",'securityContext':{'privileged':true}", ""},
        {MOUNT("'recursiveReadOnly':'x'"),
         M ".recursiveReadOnly: Unsupported value: \"x\": supported values: \"Disabled\", "
           "\"Enabled\", \"IfPossible\"\n"},
        {MOUNT("'recursiveReadOnly':'IfPossible','mountPropagation':'HostToContainer'"),
         M ".recursiveReadOnly: Forbidden: may only be specified when readOnly is true\n" M
           ".recursiveReadOnly: Forbidden: may only be specified when mountPropagation is None or "
           "not specified\n"},
    };
    pod_check(POD_CASES(cases), mounted);
    // What is wrong itself can't be mounted either, as upstream has it.
    static const PodCase bad[] = {
        {"'volumes':[{'name':'v','hostPath':{'path':'..'}}],'containers':[{'name':'c','image':'i',"
         "'volumeMounts':[{'name':'v','mountPath':'/v'}]}]",
         V ".hostPath.path: Invalid value: \"..\": must not contain '..'\n" M
           "[0].name: Not found: \"v\"\n"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        _arena_free_ Arena *arena = arena_new();
        assert_string_equal(pod_create(arena, "", bad[i].json, NULL), bad[i].problems);
    }
}

#define D "spec.containers[0].volumeDevices"

static void test_devices(void **state) {
    static const PodCase cases[] = {
        {"'volumeDevices':[{'name':'p','devicePath':'/dev/x'}]", ""},
        {"'volumeDevices':[{'name':'v','devicePath':'/dev/x'}]",
         D "[0].name: Invalid value: \"v\": can only use volume source type of "
           "PersistentVolumeClaim or Ephemeral for block mode\n"},
        {"'volumeDevices':[{'name':'z','devicePath':'/dev/../x'}]",
         D "[0].name: Not found: \"z\"\n" D "[0].devicePath: Invalid value: \"/dev/../x\": can not "
           "contain backsteps ('..')\n"},
        {"'volumeDevices':[{'name':'p','devicePath':'/x'},{'name':'p','devicePath':'/x'}]",
         D "[1].name: Invalid value: \"p\": must be unique\n" D
           "[1].devicePath: Invalid value: \"/x\": must be unique\n"},
        {"'volumeMounts':[{'name':'p','mountPath':'/x'}],'volumeDevices':[{'name':'p',"
         "'devicePath':'/x'}]",
         M "[0].name: Invalid value: \"p\": must not already exist in volumeDevices\n" M
           "[0].mountPath: Invalid value: \"/x\": must not already exist as a path in "
           "volumeDevices\n" D "[0].name: Invalid value: \"p\": must not already exist in "
           "volumeMounts\n" D "[0].devicePath: Invalid value: \"/x\": must not already exist as a "
           "path in volumeMounts\n"},
    };
    pod_check(POD_CASES(cases), mounted);
}

static void test_defaults(void **state) {
    _arena_free_ Arena *arena = arena_new();
    Value *pod;
    assert_string_equal(
        pod_create(arena, "",
                   POD_CONTAINERS ",'volumes':[{'name':'a'},{'name':'b','hostPath':{'path':'/x'}},{"
                                  "'name':'c','image':{'reference':'x:1'}},{'name':'d','secret':{"
                                  "'secretName':'s'}}]",
                   &pod),
        "");
    road_assert_json(
        arena, value_at(pod, "spec.volumes"),
        "[{'name':'a','emptyDir':{}},{'name':'b','hostPath':{'path':'/x','type':''}},{'name':'c',"
        "'image':{'reference':'x:1','pullPolicy':'IfNotPresent'}},{'name':'d','secret':{"
        "'secretName':'s','defaultMode':420}}]");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sources),   cmocka_unit_test(test_names),
        cmocka_unit_test(test_downward),  cmocka_unit_test(test_projected),
        cmocka_unit_test(test_ephemeral), cmocka_unit_test(test_mounts),
        cmocka_unit_test(test_devices),   cmocka_unit_test(test_defaults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
