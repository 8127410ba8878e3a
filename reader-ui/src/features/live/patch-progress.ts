import type { StudyProgress } from '../../api/live.ts';
import type { Arrival, ReadingRequestSummary } from '../../api/types.ts';

type OfStudy = Pick<ReadingRequestSummary, 'study' | 'arrival'>;

/** A request with what an event says of its study; the same object when it is about another one. */
export function withProgress<Request extends OfStudy>(request: Request, { study_id: studyId, ...progress }: StudyProgress): Request {
  if (request.study.id !== studyId) return request;
  const { announced, received, verified, previews, closed, withheld, bytes_per_s, remaining_ms, last_data_at_ms } = progress;
  const told = { announced, received, verified, previews, closed, withheld, bytes_per_s, remaining_ms, last_data_at_ms };
  const arrival: Arrival = { ...request.arrival, ...told };
  return { ...request, arrival };
}
