import { personName } from '../lib/safe-text.ts';

interface Name {
  alphabetic: string;
  ideographic: string;
  phonetic: string;
}

/**
 * Kanji first, kana and romaji beside it, each isolated in direction so that no name can rearrange its neighbours.
 * Long names are cut in view; the whole text is in the title.
 */
export function PatientName({ name, none, large = false }: { name: Name; none: string; large?: boolean }) {
  const main = personName(name.ideographic) || personName(name.alphabetic) || none;
  const others = [name.phonetic, name.ideographic ? name.alphabetic : ''].map(personName).filter(Boolean);
  return (
    <span className="flex min-w-0 flex-wrap items-baseline gap-x-2" title={[main, ...others].join(' / ')}>
      <bdi className={large ? 'max-w-full truncate text-lg font-semibold' : 'max-w-full truncate text-[15px] font-semibold'}>{main}</bdi>
      {others.map((other) => (
        <bdi key={other} className="max-w-full truncate text-xs text-muted">
          {other}
        </bdi>
      ))}
    </span>
  );
}
