// Tables of volumes, quotas, slices and other kinds of the cluster. Expected cells: upstream's
// pkg/printers/internalversion/printers.go (print functions of the same names). JSON is written
// with ' for ".

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "../kinds/road.h"
#include "api/table.h"
#include "api/table_cells.h"
#include "base/time.h"

static Str cell_shown(Arena *arena, const Value *cell) {
    if (cell->kind == VALUE_STRING)
        return cell->string;
    Buf buf = BUF_INIT(4096);
    value_write_json(cell, &buf);
    Str text = str_from(arena_cstr(arena, buf_view(&buf)));
    buf_deinit(&buf);
    return text;
}

// The cells of an object as "a|b|c", or the columns as "A|B|c(wide)".
static void check(const Resource *resource, const char *json, const char *columns,
                  const char *expected) {
    _arena_free_ Arena *arena = arena_new();
    int64_t now;
    assert_int_equal(time_parse(STR("2026-11-23T12:00:00Z"), &now), 0);
    const Value *object = road_parse(arena, json);
    Value *table = table_render(arena, resource, &object, 1, NULL, TABLE_NONE, true, now);
    const Value *cells = value_get(value_get(table, STR("rows"))->items[0], STR("cells")),
                *definitions = value_get(table, STR("columnDefinitions"));
    Str heads = STR(""), out = STR("");
    assert_int_equal(cells->n, definitions->n);
    for (uint32_t i = 0; i < cells->n; i++) {
        const char *bar = i ? "|" : "";
        heads = arena_printf(arena, "%.*s%s%.*s%s", STR_ARG(heads), bar,
                             STR_ARG(value_string_at(definitions->items[i], "name")),
                             value_int_at(definitions->items[i], "priority", 0) ? "(wide)" : "");
        out = arena_printf(arena, "%.*s%s%.*s", STR_ARG(out), bar,
                           STR_ARG(cell_shown(arena, cells->items[i])));
    }
    assert_string_equal(arena_cstr(arena, heads), columns);
    assert_string_equal(arena_cstr(arena, out), expected);
}

#define META "'metadata':{'name':'x','creationTimestamp':'2026-11-23T11:59:00Z'}"
#define GOING                                                                                      \
    "'metadata':{'name':'x','creationTimestamp':'2026-11-23T11:59:00Z','deletionTimestamp':'2026-" \
    "11-23T12:00:00Z'}"

static void test_volumes(void **state) {
    const Resource *volumes = kinds_resource_core_v1_persistentvolumes();
    const char *columns =
        "Name|Capacity|Access Modes|Reclaim Policy|Status|Claim|StorageClass|VolumeAttributesClass|"
        "Reason|Age|VolumeMode(wide)";
    check(volumes,
          "{" META ",'spec':{'capacity':{'storage':'1Gi'},'accessModes':['ReadWriteOncePod','"
          "ReadWriteMany','ReadOnlyMany',"
          "'ReadWriteOnce'],'persistentVolumeReclaimPolicy':'Retain','claimRef':{'namespace':'ns','"
          "name':'c'},"
          "'storageClassName':'fast','volumeAttributesClassName':'gold','volumeMode':'Block'},"
          "'status':{'phase':'Bound','reason':'Why'}}",
          columns, "x|1Gi|RWO,ROX,RWX,RWOP|Retain|Bound|ns/c|fast|gold|Why|60s|Block");
    check(volumes, "{" GOING ",'spec':{},'status':{'phase':'Bound'}}", columns,
          "x|0|||Terminating|||<unset>||60s|<unset>");
}

static void test_claims(void **state) {
    const Resource *claims = kinds_resource_core_v1_persistentvolumeclaims();
    const char *columns = "Name|Status|Volume|Capacity|Access "
                          "Modes|StorageClass|VolumeAttributesClass|Age|VolumeMode(wide)";
    check(
        claims,
        "{" META ",'spec':{'volumeName':'v','storageClassName':'fast','volumeMode':'Filesystem'},"
        "'status':{'phase':'Bound','capacity':{'storage':'2Gi'},'accessModes':['ReadWriteOnce']}}",
        columns, "x|Bound|v|2Gi|RWO|fast|<unset>|60s|Filesystem");
    // Not bound: what the status says does not count. The old annotation is still heeded.
    check(claims,
          "{'metadata':{'name':'x','creationTimestamp':'2026-11-23T11:59:00Z','annotations':"
          "{'volume.beta.kubernetes.io/storage-class':'old'}},'spec':{'storageClassName':'new'},"
          "'status':{'phase':'Pending','capacity':{'storage':'2Gi'},'accessModes':['ReadWriteOnce']"
          "}}",
          columns, "x|Pending||||old|<unset>|60s|<unset>");
    check(claims, "{" GOING ",'spec':{'volumeName':'v'},'status':{'phase':'Bound'}}", columns,
          "x|Terminating|v|0|||<unset>|60s|<unset>");
}

static void test_storage(void **state) {
    const char *columns =
        "Name|Provisioner|ReclaimPolicy|VolumeBindingMode|AllowVolumeExpansion|Age";
    check(kinds_resource_storage_v1_storageclasses(),
          "{'metadata':{'name':'x','creationTimestamp':'2026-11-23T11:59:00Z','annotations':"
          "{'storageclass.kubernetes.io/"
          "is-default-class':'true'}},'provisioner':'p','reclaimPolicy':'Delete',"
          "'volumeBindingMode':'Immediate','allowVolumeExpansion':true}",
          columns, "x (default)|p|Delete|Immediate|true|60s");
    check(kinds_resource_storage_v1_storageclasses(),
          "{" META
          ",'provisioner':'p','reclaimPolicy':'Retain','volumeBindingMode':'WaitForFirstConsumer'}",
          columns, "x|p|Retain|WaitForFirstConsumer|false|60s");
    check(kinds_resource_storage_v1_csidrivers(),
          "{" META ",'spec':{'attachRequired':true,'podInfoOnMount':false,'storageCapacity':true,'"
          "tokenRequests':"
          "[{'audience':'a'},{'audience':'b'}],'requiresRepublish':false,'volumeLifecycleModes':['"
          "Persistent','Ephemeral']}}",
          "Name|AttachRequired|PodInfoOnMount|StorageCapacity|TokenRequests|RequiresRepublish|"
          "Modes|Age",
          "x|true|false|true|a,b|false|Persistent,Ephemeral|60s");
    check(kinds_resource_storage_v1_csidrivers(),
          "{" META ",'spec':{'attachRequired':true,'podInfoOnMount':false,'storageCapacity':true,"
          "'requiresRepublish':false}}",
          "Name|AttachRequired|PodInfoOnMount|StorageCapacity|TokenRequests|RequiresRepublish|"
          "Modes|Age",
          "x|true|false|true|<unset>|false|<none>|60s");
    check(kinds_resource_storage_v1_csinodes(),
          "{" META ",'spec':{'drivers':[{'name':'a'},{'name':'b'}]}}", "Name|Drivers|Age",
          "x|2|60s");
    check(kinds_resource_storage_v1_csistoragecapacities(),
          "{" META ",'storageClassName':'c','capacity':'1Gi'}", "Name|StorageClassName|Capacity",
          "x|c|1Gi");
    check(kinds_resource_storage_v1_volumeattachments(),
          "{" META ",'spec':{'attacher':'a','nodeName':'n','source':{'persistentVolumeName':'v'}},"
          "'status':{'attached':true}}",
          "Name|Attacher|PV|Node|Attached|Age", "x|a|v|n|true|60s");
    check(kinds_resource_storage_v1_volumeattachments(),
          "{" META ",'spec':{'attacher':'a','nodeName':'n','source':{}}}",
          "Name|Attacher|PV|Node|Attached|Age", "x|a||n|false|60s");
    check(kinds_resource_storage_v1_volumeattributesclasses(), "{" META ",'driverName':'d'}",
          "Name|DriverName|Age", "x|d|60s");
}

static void test_limits(void **state) {
    check(kinds_resource_core_v1_limitranges(), "{" META "}", "Name|Created At",
          "x|2026-11-23T11:59:00Z");
    const char *columns = "Name|Request|Limit|Age";
    check(
        kinds_resource_core_v1_resourcequotas(),
        "{" META
        ",'status':{'hard':{'requests.cpu':'2','limits.memory':'2Gi','pods':'4','limits.cpu':'3'},"
        "'used':{'pods':'1','limits.cpu':'500m','limits.memory':'0'}}}",
        columns, "x|pods: 1/4, requests.cpu: 0/2|limits.cpu: 500m/3, limits.memory: 0/2Gi|60s");
    check(kinds_resource_core_v1_resourcequotas(), "{" META "}", columns, "x|||60s");
    check(kinds_resource_scheduling_v1_priorityclasses(),
          "{" META ",'value':7,'globalDefault':true,'preemptionPolicy':'Never'}",
          "Name|Value|Global-Default|Age|PreemptionPolicy", "x|7|true|60s|Never");
}

static void test_endpoint_slices(void **state) {
    const char *columns = "Name|AddressType|Ports|Endpoints|Age";
    check(kinds_resource_discovery_v1_endpointslices(),
          "{" META ",'addressType':'IPv4','ports':[{'port':80,'name':'a'},{'name':'b'},{}],"
          "'endpoints':[{'addresses':['10.0.0.1','10.0.0.2']},{'addresses':['10.0.0.3']}]}",
          columns, "x|IPv4|80,b,*|10.0.0.1,10.0.0.2,10.0.0.3|60s");
    check(kinds_resource_discovery_v1_endpointslices(),
          "{" META
          ",'addressType':'IPv4','ports':[{'port':1},{'port':2},{'port':3},{'port':4},{'port':5}],"
          "'endpoints':[{'addresses':['10.0.0.1','10.0.0.2']},{'addresses':['10.0.0.3','10.0.0.4']}"
          "]}",
          columns, "x|IPv4|1,2,3 + 2 more...|10.0.0.1,10.0.0.2,10.0.0.3 + 1 more...|60s");
    check(kinds_resource_discovery_v1_endpointslices(),
          "{" META ",'addressType':'FQDN','ports':[],'endpoints':[]}", columns,
          "x|FQDN|<unset>|<unset>|60s");
}

static void test_networking(void **state) {
    const Resource *ingresses = kinds_resource_networking_v1_ingresses();
    const char *columns = "Name|Class|Hosts|Address|Ports|Age";
    check(ingresses,
          "{" META
          ",'spec':{'ingressClassName':'c','tls':[{}],'rules':[{'host':'a'},{},{'host':'b'},"
          "{'host':'c'},{'host':'d'},{'host':'e'}]},'status':{'loadBalancer':{'ingress':"
          "[{'ip':'10.0.0.2'},{'hostname':'h'},{'ip':'10.0.0.1'}]}}}",
          columns, "x|c|a,b,c + 3 more...|10.0.0.1,10.0.0.2,h|80, 443|60s");
    check(ingresses, "{" META ",'spec':{'rules':[{}]}}", columns, "x|<none>|*||80|60s");
    columns = "Name|Controller|Parameters|Age";
    check(kinds_resource_networking_v1_ingressclasses(),
          "{" META
          ",'spec':{'controller':'example.com/c','parameters':{'apiGroup':'k8s.example.com',"
          "'kind':'Parameters','name':'p'}}}",
          columns, "x|example.com/c|Parameters.k8s.example.com/p|60s");
    check(kinds_resource_networking_v1_ingressclasses(),
          "{" META
          ",'spec':{'controller':'example.com/c','parameters':{'kind':'ConfigMap','name':'p'}}}",
          columns, "x|example.com/c|ConfigMap/p|60s");
    check(kinds_resource_networking_v1_ingressclasses(), "{" META ",'spec':{'controller':'c/c'}}",
          columns, "x|c/c|<none>|60s");
    columns = "Name|Pod-Selector|Age";
    check(kinds_resource_networking_v1_networkpolicies(),
          "{" META ",'spec':{'podSelector':{'matchLabels':{'b':'1','a':'2'}}}}", columns,
          "x|a=2,b=1|60s");
    check(kinds_resource_networking_v1_networkpolicies(), "{" META ",'spec':{'podSelector':{}}}",
          columns, "x|<none>|60s");
    columns = "Name|ParentRef|Age";
    check(kinds_resource_networking_v1_ipaddresses(),
          "{" META ",'spec':{'parentRef':{'resource':'services','namespace':'ns','name':'s'}}}",
          columns, "x|services/ns/s|60s");
    check(kinds_resource_networking_v1_ipaddresses(),
          "{" META ",'spec':{'parentRef':{'group':'g','resource':'r','name':'s'}}}", columns,
          "x|r.g/s|60s");
    check(kinds_resource_networking_v1_servicecidrs(),
          "{" META ",'spec':{'cidrs':['10.0.0.0/8','fd00::/64']}}", "Name|CIDRs|Age",
          "x|10.0.0.0/8,fd00::/64|60s");
}

static void test_flow_control(void **state) {
    const char *columns = "Name|PriorityLevel|MatchingPrecedence|DistinguisherMethod|Age|MissingPL";
    check(kinds_resource_flowcontrol_v1_flowschemas(),
          "{" META ",'spec':{'priorityLevelConfiguration':{'name':'p'},'matchingPrecedence':7,"
          "'distinguisherMethod':{'type':'ByUser'}},'status':{'conditions':[{'type':'Dangling',"
          "'status':'False'}]}}",
          columns, "x|p|7|ByUser|60s|False");
    check(kinds_resource_flowcontrol_v1_flowschemas(),
          "{" META ",'spec':{'priorityLevelConfiguration':{'name':'p'},'matchingPrecedence':7}}",
          columns, "x|p|7|<none>|60s|?");
    columns = "Name|Type|NominalConcurrencyShares|Queues|HandSize|QueueLengthLimit|Age";
    check(kinds_resource_flowcontrol_v1_prioritylevelconfigurations(),
          "{" META
          ",'spec':{'type':'Limited','limited':{'nominalConcurrencyShares':5,'limitResponse':"
          "{'type':'Queue','queuing':{'queues':16,'handSize':4,'queueLengthLimit':50}}}}}",
          columns, "x|Limited|5|16|4|50|60s");
    check(kinds_resource_flowcontrol_v1_prioritylevelconfigurations(),
          "{" META ",'spec':{'type':'Exempt'}}", columns,
          "x|Exempt|<none>|<none>|<none>|<none>|60s");
}

static void test_certificates(void **state) {
    const char *columns = "Name|Age|SignerName|Requestor|RequestedDuration|Condition";
    const Resource *requests = kinds_resource_certificates_v1_certificatesigningrequests();
    check(requests,
          "{" META ",'spec':{'signerName':'s/s','username':'u','expirationSeconds':3600},'status':"
          "{'certificate':'YQ==','conditions':[{'type':'Approved'}]}}",
          columns, "x|60s|s/s|u|60m|Approved,Issued");
    check(requests,
          "{" META ",'spec':{'username':'u'},'status':{'conditions':[{'type':'Approved'},"
          "{'type':'Denied'},{'type':'Failed'}]}}",
          columns, "x|60s|<none>|u|<none>|Denied,Failed");
    check(requests, "{" META ",'spec':{'username':'u'}}", columns, "x|60s|<none>|u|<none>|Pending");
}

static void test_nodes_and_devices(void **state) {
    check(kinds_resource_node_v1_runtimeclasses(), "{" META ",'handler':'h'}", "Name|Handler|Age",
          "x|h|60s");
    check(kinds_resource_resource_v1_deviceclasses(), "{" META "}", "Name|Age", "x|60s");
    check(kinds_resource_resource_v1_resourceclaimtemplates(), "{" META "}", "Name|Age", "x|60s");
    check(kinds_resource_resource_v1_resourceslices(),
          "{" META ",'spec':{'nodeName':'n','driver':'d','pool':{'name':'p'}}}",
          "Name|Node|Driver|Pool|Age", "x|n|d|p|60s");
    const Resource *claims = kinds_resource_resource_v1_resourceclaims();
    check(claims, "{" META "}", "Name|State|Age", "x|pending|60s");
    check(claims, "{" META ",'status':{'allocation':{},'reservedFor':[{}]}}", "Name|State|Age",
          "x|allocated,reserved|60s");
    check(claims, "{" GOING ",'status':{'allocation':{}}}", "Name|State|Age",
          "x|deleted,allocated|60s");
    check(claims, "{" GOING "}", "Name|State|Age", "x|deleted|60s");
}

// kube-aggregator's pkg/registry/apiservice/etcd; ComponentStatus: printComponentStatus.
static void test_services_and_components(void **state) {
    const char *columns = "Name|Service|Available|Age";
    const Resource *services = kinds_resource_apiregistration_v1_apiservices();
    check(services, "{" META ",'spec':{}}", columns, "x|Local|Unknown|60s");
    check(services,
          "{" META
          ",'status':{'conditions':[{'type':'Available','status':'True','reason':'Local'}]}}",
          columns, "x|Local|True|60s");
    check(services,
          "{" META ",'spec':{'service':{'namespace':'n','name':'s'}},'status':{'conditions':"
          "[{'type':'Available','status':'False','reason':'ServiceNotFound'}]}}",
          columns, "x|n/s|False (ServiceNotFound)|60s");
    columns = "Name|Status|Message|Error";
    const Resource *components = kinds_resource_core_v1_componentstatuses();
    check(components,
          "{" META ",'conditions':[{'type':'Healthy','status':'True','message':'ok','error':'e'}]}",
          columns, "x|Healthy|ok|e");
    check(components, "{" META ",'conditions':[{'type':'Healthy','status':'False'}]}", columns,
          "x|Unhealthy||");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_volumes),           cmocka_unit_test(test_claims),
        cmocka_unit_test(test_storage),           cmocka_unit_test(test_limits),
        cmocka_unit_test(test_endpoint_slices),   cmocka_unit_test(test_networking),
        cmocka_unit_test(test_flow_control),      cmocka_unit_test(test_certificates),
        cmocka_unit_test(test_nodes_and_devices), cmocka_unit_test(test_services_and_components),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
