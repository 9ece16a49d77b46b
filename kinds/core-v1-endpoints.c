// Endpoints: ValidateEndpoints upstream.

#include "kinds/address.h"
#include "kinds/rules.h"
#include "kinds/tree.h"

// That it is an address at all the table says.
static void validate_address(FieldErrors *errors, const Value *address, const Path *path) {
    address_check_not_special(errors, PATH(path, STR("ip")),
                              tree_string(value_get(address, STR("ip"))));
}
const TypeRules endpoint_address_rules = {.validate = validate_address};

static void validate_subset(FieldErrors *errors, const Value *subset, const Path *path) {
    if (!tree_count(subset, "addresses") && !tree_count(subset, "notReadyAddresses"))
        field_required(errors, path, "must specify `addresses` or `notReadyAddresses`");
    uint32_t n = tree_count(subset, "ports");
    for (uint32_t i = 0; i < n; i++) {
        const Value *port = tree_item(subset, "ports", i);
        const Path *at = PATH_INDEX(PATH(path, STR("ports")), i);
        if (n > 1 && !tree_has_string(port, "name"))
            field_required(errors, PATH(at, STR("name")), "");
        if (!tree_has_string(port, "protocol"))
            field_required(errors, PATH(at, STR("protocol")), "");
    }
}
const TypeRules endpoint_subset_rules = {.validate = validate_subset};
