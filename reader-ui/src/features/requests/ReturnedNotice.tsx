import { Link } from '@tanstack/react-router';
import type { ReadingRequestSummary } from '../../api/types.ts';
import { dateTime } from '../../lib/dates.ts';
import { safeLines } from '../fields/FieldFacts.tsx';
import { useStrings } from '../../strings/language.tsx';
import { Banner } from '../../ui/Banner.tsx';

interface Props {
  request: Pick<ReadingRequestSummary, 'id' | 'returned'>;
  /** What the site can do about it: told where the form is on screen, a link to it elsewhere; a reader can only look. */
  answer: 'here' | 'link' | 'none';
}

/** What a reader asks for before the request can be read, and by whom; nothing while nothing is asked for. */
export function ReturnedNotice({ request, answer }: Props) {
  const { requests, reading, language } = useStrings();
  const { returned } = request;
  if (!returned) return null;
  const link = answer === 'link' && (
    <Link to="/requests/$requestId/context" params={{ requestId: request.id }} className="rounded-md border border-transparent bg-accent px-3 py-1.5 text-sm font-semibold whitespace-nowrap text-void">
      {requests.answerReturned}
    </Link>
  );
  return (
    <Banner tone="warning" action={link}>
      <p className="font-semibold">{requests.returnedTitle}</p>
      <p className="mt-1 text-[15px] whitespace-pre-wrap">
        <span className="mr-2 text-xs">{requests.returnedAsked}</span>
        <bdi>{safeLines(returned.reason)}</bdi>
      </p>
      <p className="mt-1 text-xs">{reading.returnedBy(returned.by.name, dateTime(returned.at_ms, language))}</p>
      {answer !== 'none' && <p className="mt-1 text-xs">{requests.returnedNext}</p>}
    </Banner>
  );
}
