import { useStrings } from '../../strings/language.tsx';
import { Labelled } from '../../ui/Labelled.tsx';
import { useArrivedStudies } from './use-arrived-studies.ts';

interface Props {
  value: string;
  required: string | undefined;
  error: string | undefined;
  onChange(uid: string): void;
}

/** A study of the own site, from the list of what has arrived, or by its UID. */
export function StudyChoice({ value, required, error, onChange }: Props) {
  const { requests, common } = useStrings();
  const studies = useArrivedStudies();
  return (
    <div className="grid gap-3 sm:grid-cols-2">
      <Labelled label={requests.chooseStudy} required={required}>
        {(props) => (
          <select {...props} value={studies.some(({ uid }) => uid === value) ? value : ''} onChange={(event) => onChange(event.target.value)} className="field">
            <option value="">{common.choose}</option>
            {studies.map(({ uid, label }) => (
              <option key={uid} value={uid}>
                {label}
              </option>
            ))}
          </select>
        )}
      </Labelled>
      <Labelled label={requests.studyUid} hint={requests.uidHint} error={error}>
        {(props) => <input {...props} value={value} spellCheck={false} autoComplete="off" onChange={(event) => onChange(event.target.value)} className="field font-mono" />}
      </Labelled>
    </div>
  );
}
