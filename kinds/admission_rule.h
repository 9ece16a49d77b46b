#pragma once
// Rules that say which requests are meant, of webhooks and policies.

#include "schema/check.h"

// What the table does not say of a RuleWithOperations.
void admission_rule_validate(FieldErrors *errors, const Value *rule, const Path *path);
