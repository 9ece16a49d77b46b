#pragma once
// Carries out a SlicePlan, write by write, and keeps a reconcile from acting on an informer that
// has not seen the last writes yet (it would make the same slice twice); upstream's
// endpointslice/util EndpointSliceTracker.

#include "controllers/endpoint_slice_plan.h"
#include "controllers/frame.h"

typedef struct SliceWriter SliceWriter;

// Its informer of all slices. A slice with the label managed-by `manager` that changes queues its
// service there.
SliceWriter *slice_writer_new(Controller *controller, Str manager);
void slice_writer_free(SliceWriter *writer);
// The slices of r's service that this manager keeps; in r's arena. False: some write is not in the
// informer yet; then end the reconcile without retry, it comes again.
bool slice_writer_existing(SliceWriter *writer, Reconcile *r, EndpointSlice ***ret, size_t *ret_n);
// Ends with reconcile_done().
void slice_writer_run(SliceWriter *writer, Reconcile *r, const SlicePlan *plan);
// A plan that removes them all.
void slice_writer_remove_all(SliceWriter *writer, Reconcile *r, EndpointSlice **existing, size_t n);
