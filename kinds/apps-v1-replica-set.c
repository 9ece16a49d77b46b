// Replica sets and controller revisions.

#include "kinds/workload.h"

const ResourceRules replica_set_rules = {
    .warn = NULL,
};

const ResourceRules controller_revision_rules = {
    .warn = NULL,
};
