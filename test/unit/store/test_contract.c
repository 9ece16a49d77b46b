#include "contract.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct Case {
    const Contract *contract;
    const Backend *backend;
} Case;

static void run_case(void **state) {
    const Case *test = *state;
    Harness *h = harness_new(test->backend);
    test->contract->run(h);
    harness_free(h);
}

int main(void) {
    const Backend *backends[] = {backend_memory(), backend_simulated(), backend_sqlite()};
    const Contract *(*const parts[])(size_t *) = {contract_records, contract_history,
                                                  contract_watches, contract_orders};
    static struct CMUnitTest tests[256];
    static Case cases[256];
    size_t n = 0;
    for (size_t b = 0; b < sizeof backends / sizeof *backends; b++) {
        for (size_t p = 0; p < sizeof parts / sizeof *parts; p++) {
            size_t count;
            const Contract *contracts = parts[p](&count);
            for (size_t i = 0; i < count; i++, n++) {
                char *name;
                if (n == 256 || asprintf(&name, "%s: %s", backends[b]->name, contracts[i].name) < 0)
                    abort();
                cases[n] = (Case){&contracts[i], backends[b]};
                tests[n] = (struct CMUnitTest){name, run_case, NULL, NULL, &cases[n]};
            }
        }
    }
    int failed = _cmocka_run_group_tests("store contract", tests, n, NULL, NULL);
    for (size_t i = 0; i < n; i++)
        free((char *)tests[i].name);
    return failed;
}
