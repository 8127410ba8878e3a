import { useQuery } from '@tanstack/react-query';
import { useParams } from '@tanstack/react-router';
import { requestQuery } from '../../api/queries.ts';
import { useStrings } from '../../strings/language.tsx';
import { Waiting } from '../../ui/Waiting.tsx';
import { ProblemBanner } from '../session/ProblemBanner.tsx';
import { ReadingScreen } from './ReadingScreen.tsx';

/** Loads one request. The screen is keyed by it: another case is another screen, with nothing of the old one. */
export function ReadingPage() {
  const strings = useStrings();
  const { requestId } = useParams({ from: '/reading/$requestId' });
  const { data, error, refetch } = useQuery(requestQuery(requestId));
  if (data) return <ReadingScreen key={data.id} request={data} stale={error} />;
  return (
    <main className="p-4">
      <h1 className="sr-only">{strings.reading.title}</h1>
      {error ? <ProblemBanner error={error} retry={() => void refetch()} /> : <Waiting text={strings.common.loading} />}
    </main>
  );
}
