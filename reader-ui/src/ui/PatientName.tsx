import { personName } from '../lib/safe-text.ts';
import { useStrings } from '../strings/language.tsx';
import { UncertainText } from './HeaderText.tsx';

interface Named {
  name: { alphabetic: string; ideographic: string; phonetic: string };
  name_uncertain: boolean;
}

/**
 * Kanji first, kana and romaji beside it, each isolated in direction so that no name can rearrange its neighbours.
 * Long names are cut in view; the whole text is in the title. A name that could not be read for sure says so
 * wherever it stands.
 */
export function PatientName({ patient, large = false }: { patient: Named; large?: boolean }) {
  const { patient: words } = useStrings();
  const { name } = patient;
  const main = personName(name.ideographic) || personName(name.alphabetic) || words.noName;
  const others = [name.phonetic, name.ideographic ? name.alphabetic : ''].map(personName).filter(Boolean);
  return (
    <span className="flex min-w-0 flex-wrap items-baseline gap-x-2" title={[main, ...others].join(' / ')}>
      <bdi className={large ? 'max-w-full truncate text-lg font-semibold' : 'max-w-full truncate text-[15px] font-semibold'}>{main}</bdi>
      {others.map((other) => (
        <bdi key={other} className="max-w-full truncate text-xs text-muted">
          {other}
        </bdi>
      ))}
      {patient.name_uncertain && <UncertainText title={words.nameUncertain} />}
    </span>
  );
}
