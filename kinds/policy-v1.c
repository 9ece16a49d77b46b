// Pod disruption budgets.

#include "kinds/rules.h"

const ResourceRules pod_disruption_budget_rules = {
    .warn = NULL,
};
