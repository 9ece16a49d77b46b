#pragma once
// The subresource `scale`: an object as an autoscaling/v1 Scale, which says how many pods it has
// and should have. Where the numbers are is the table's matter (ScalePaths), so custom kinds take
// the same road.
// https://kubernetes.io/docs/reference/kubernetes-api/autoscaling-resources/scale-v1/

#include "api/request.h"

typedef struct ScaleView {
    const ScalePaths *paths;
    const Type *parent;    // of the object
    ServedResource served; // of the Scale, for decoding and output
    Resource resource;
} ScaleView;

// NULL when the request is not about a scale.
const ScaleView *scale_view(const ApiRequest *request);
Value *scale_show(Arena *arena, const ScaleView *view, const Value *object);
// The number that `scale` asks for becomes the object's; a resourceVersion there, the condition.
void scale_take(Arena *arena, const ScaleView *view, Value *object, const Value *scale);
// 422, or NULL.
ApiStatus *scale_validate(Arena *arena, const ScaleView *view, const Value *scale);
// A Scale that is applied, as a configuration of the object.
Value *scale_config(Arena *arena, const ScaleView *view, const Resource *parent,
                    const Value *config);
