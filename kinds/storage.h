#pragma once
// What the rules of volumes, claims and storage classes share.

#include "schema/check.h"

// accessModes of volumes and claims: known ones, and ReadWriteOncePod alone.
void access_modes_validate(FieldErrors *errors, const Value *modes, const Path *path);
// A quantity of more than nothing ("must be greater than zero").
void positive_quantity_validate(FieldErrors *errors, const Value *quantity, const Path *path);
// ValidatePersistentVolumeSpec; `inline_spec`: that of a VolumeAttachment.
void persistent_volume_spec_validate(FieldErrors *errors, const Value *spec, bool inline_spec,
                                     const Path *path);
