// Cron jobs.

#include "kinds/workload.h"

const ResourceRules cron_job_rules = {
    .warn = NULL,
};
