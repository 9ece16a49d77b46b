// APIServices. Paths and messages: kube-aggregator's pkg/apis/apiregistration/validation.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cases.h"

#define SERVICE(name, spec) "{'metadata':{'name':'" name "'},'spec':{" spec "}}"
#define PRIORITIES "'groupPriorityMinimum':20000,'versionPriority':1000"
#define V1 "'group':'example.com','version':'v1'," PRIORITIES

static void test_api_services(void **state) {
    const Resource *services = kinds_resource_apiregistration_v1_apiservices();
    CHECK(
        services, {SERVICE("v1.example.com", V1), ""},
        {SERVICE("v1.", "'version':'v1'," PRIORITIES), ""},
        {SERVICE("v1.example.com", V1 ",'service':{'namespace':'n','name':'s'}"), ""},
        {SERVICE("v2.example.com", V1), "metadata.name: Invalid value: \"v2.example.com\": must be "
                                        "`spec.version+\".\"+spec.group`: \"v1.example.com\"\n"},
        {SERVICE("v2.", "'version':'v2'," PRIORITIES),
         "spec.group: Required value: only v1 may have an empty group and it better be legacy "
         "kube\n"},
        {SERVICE("v1.example.com", "'group':'example.com','version':'v1','groupPriorityMinimum':"
                                   "20001,'versionPriority':0"),
         "spec.groupPriorityMinimum: Invalid value: 20001: must be positive and less than 20000\n"
         "spec.versionPriority: Invalid value: 0: must be positive and less than 1000\n"},
        {SERVICE("v1.example.com", V1 ",'caBundle':'YWI=','insecureSkipTLSVerify':true"),
         "spec.caBundle: Invalid value: \"2 bytes\": local APIServices may not have a caBundle\n"
         "spec.insecureSkipTLSVerify: Invalid value: true: local APIServices may not have "
         "insecureSkipTLSVerify\n"},
        {SERVICE("v1.example.com",
                 V1 ",'caBundle':'YWI=','insecureSkipTLSVerify':true,'service':{'port':65536}"),
         "spec.service.namespace: Required value\nspec.service.name: Required value\n"
         "spec.service.port: Invalid value: 65536: port is not valid: must be between 1 and 65535, "
         "inclusive\n"
         "spec.insecureSkipTLSVerify: Invalid value: true: may not be true if caBundle is "
         "present\n"});
    check_made(services, SERVICE("v1.example.com", V1 ",'service':{'namespace':'n','name':'s'}"),
               "spec.service.port", "443");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_api_services)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
