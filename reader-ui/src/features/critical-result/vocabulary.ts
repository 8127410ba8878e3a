/** Codes of the call record that are not part of a template. Their words are in `strings/`. */
export const calleeRoles = ['attending', 'on_call', 'nurse', 'liaison', 'ambulance', 'other'] as const;
export const channels = ['landline', 'mobile', 'extension', 'phs', 'video', 'app'] as const;
export const callOutcomes = ['connected', 'no_answer', 'busy', 'unreachable_number', 'wrong_party', 'left_message', 'refused'] as const;
export const failureReasons = ['recipient-unavailable', 'invalid-phone-number', 'system-error', 'unknown'] as const;
export const nextActions = ['redial', 'other_number', 'escalate', 'alternative_route'] as const;
export const familyInformed = ['done', 'not_yet', 'not_applicable'] as const;
export const deliveryKinds = ['fax', 'secure_message'] as const;
export const acknowledgementActions = ['observe', 'transfer', 'treat', 'other'] as const;
export const patientIdentifiers = ['name', 'birth_date', 'patient_id', 'study_time'] as const;
