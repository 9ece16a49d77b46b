// Cells of quotas, endpoint slices and other kinds of the cluster: upstream's
// pkg/printers/internalversion.

#include "api/table_cells.h"

// ---- quotas

static Value *quota(const CellInput *input, bool limits) {
    const Value *hard = value_at(input->object, "status.hard"),
                *used = value_at(input->object, "status.used");
    Words words = {.arena = input->arena};
    for (uint32_t i = 0; hard && hard->kind == VALUE_OBJECT && i < hard->n; i++) {
        Str name = hard->members[i].key;
        if (str_starts_with(name, STR("limits.")) != limits)
            continue;
        const Value *use = value_get(used, name);
        words_add(&words, arena_printf(input->arena, "%.*s: %.*s/%.*s", STR_ARG(name),
                                       STR_ARG(use ? use->string : STR("0")),
                                       STR_ARG(hard->members[i].value->string)));
    }
    words_sort(&words);
    return cell_string(input, words_join(&words, STR(", "), STR("")));
}

static Value *quota_requests(const CellInput *input) {
    return quota(input, false);
}
static Value *quota_limits(const CellInput *input) {
    return quota(input, true);
}

// ---- endpoint slices

// The first three words, and how many more there are (listWithMoreString).
static Value *first_three(const CellInput *input, const Words *words, size_t total) {
    Str text = words_join(words, STR(","), STR("<unset>"));
    if (total > 3)
        text = arena_printf(input->arena, "%.*s + %zu more...", STR_ARG(text), total - 3);
    return cell_string(input, text);
}

static Value *endpoint_slice_ports(const CellInput *input) {
    const Value *ports = value_get(input->object, STR("ports"));
    Words words = {.arena = input->arena};
    for (uint32_t i = 0; i < cell_count(ports) && i < 3; i++) {
        const Value *port = ports->items[i], *number = value_get(port, STR("port"));
        Str name = value_string_at(port, "name");
        if (number)
            words_add(&words, arena_printf(input->arena, "%lld", (long long)number->integer));
        else
            words_add(&words, name.ptr ? name : STR("*"));
    }
    return first_three(input, &words, cell_count(ports));
}

static Value *endpoint_slice_addresses(const CellInput *input) {
    const Value *endpoints = value_get(input->object, STR("endpoints"));
    Words words = {.arena = input->arena};
    size_t total = 0;
    for (uint32_t i = 0; i < cell_count(endpoints); i++) {
        const Value *addresses = value_get(endpoints->items[i], STR("addresses"));
        for (uint32_t j = 0; j < cell_count(addresses); j++)
            if (total++ < 3)
                words_add(&words, addresses->items[j]->string);
    }
    return first_three(input, &words, total);
}

CellFunction table_cluster_cell(Str name) {
    static const CellEntry table[] = {
        {STR("quota_requests"), quota_requests},
        {STR("quota_limits"), quota_limits},
        {STR("endpoint_slice_ports"), endpoint_slice_ports},
        {STR("endpoint_slice_addresses"), endpoint_slice_addresses},
    };
    return cell_find(table, sizeof table / sizeof *table, name);
}
