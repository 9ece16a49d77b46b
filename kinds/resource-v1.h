#pragma once
// What the rules of devices and of claims for them share: pkg/apis/resource/validation upstream.

#include "schema/check.h"

void device_driver_validate(FieldErrors *errors, Str name, const Path *path);
void device_pool_validate(FieldErrors *errors, Str name, const Path *path);
void device_label_validate(FieldErrors *errors, Str name,
                           const Path *path); // of devices and requests
// NAME or DOMAIN/NAME; `with_domain`: the latter.
void device_attribute_name_validate(FieldErrors *errors, Str name, bool with_domain,
                                    const Path *path);
void device_class_name_validate(FieldErrors *errors, Str name, const Path *path);
// Of claims, classes and requests. CEL expressions are not compiled yet: only their length is
// checked.
void device_selectors_validate(FieldErrors *errors, const Value *selectors, const Path *path);
// The configuration that is inline in `holder`.
void device_configuration_validate(FieldErrors *errors, const Value *holder, const Path *path);
// An object of at most `max` bytes (validateRawExtension).
void device_raw_validate(FieldErrors *errors, const Value *raw, size_t max, const Path *path);
// Takes away fields of features that are off, as the strategies do (dropDisabledFields).
void device_drop(Value *object, const Str *fields, size_t n);
