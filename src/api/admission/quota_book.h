#pragma once
// Charges on ResourceQuotas. Many requests may charge one quota at the same time: what has gathered
// while a write is under way is charged together with the next, in the order in which it came. Each
// write is a compare-and-put of the quota object, so no two servers or controllers lose a charge.

#include "api/admission/admission.h"
#include "rules/quota.h"

typedef struct QuotaCharge QuotaCharge;
struct QuotaCharge {
    ListLink link; // private
    Admission *admission;
    Str namespace_, name;   // of the quota
    ResourceAmounts amount; // what is added to status.used
    // Once, later, unless the request ends before: NULL when the quota (or what is left of it: a
    // quota that is gone limits nothing) has it. Set by the caller, as the rest above.
    void (*done)(QuotaCharge *charge, const ApiStatus *refusal);
};

void quota_charge(QuotaCharge *charge); // lives in its request's arena
// Whether the amount fits into what the quota's status says; else the refusal. Only what status.hard
// limits is looked at, and added to *used (may be NULL).
ApiStatus *quota_check(const Admission *admission, Str quota, const Value *status,
                       const ResourceAmounts *amount, ResourceAmounts *used);
