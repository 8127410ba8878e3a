import { keepPreviousData, queryOptions } from '@tanstack/react-query';
import * as client from './client.ts';

/** Cache keys and fetchers. A live event names what changed; the page asks for it again under the same key. */
export const keys = {
  requests: ['reading-requests'] as const,
  /** Every single request that is on screen. */
  everyRequest: ['reading-request'] as const,
  request: (id: string) => ['reading-request', id] as const,
  /** What is listed of a study, by the relay's own study id. */
  study: (id: string) => ['study', id] as const,
  /** Every report that is on screen: an event names the request, not the report. */
  reports: ['report'] as const,
  report: (id: string) => ['report', id] as const,
  notifications: ['notifications'] as const,
  criticalResults: ['critical-results'] as const,
};

/** Answers to searches that nobody looks at any more go soon: there is one for every pause in typing. */
const searchKeptMs = 10_000;

export const requestsQuery = (state: client.RequestState) =>
  queryOptions({ queryKey: [...keys.requests, state], queryFn: () => client.listReadingRequests(state) });
/** With a search text, those it finds; a live event asks again as for the whole list. */
export const requestSearchQuery = (state: client.RequestState, q: string) =>
  queryOptions({ queryKey: [...keys.requests, state, 'search', q], queryFn: () => client.searchReadingRequests(state, q), placeholderData: keepPreviousData, gcTime: searchKeptMs });

export const requestQuery = (id: string) =>
  queryOptions({ queryKey: keys.request(id), queryFn: () => client.getReadingRequest(id) });

export const studyInstancesQuery = (id: string) =>
  queryOptions({ queryKey: keys.study(id), queryFn: () => client.listStudyInstances(id), enabled: id !== '' });

export const templatesQuery = () =>
  queryOptions({ queryKey: ['templates'], queryFn: client.listTemplates, staleTime: Number.POSITIVE_INFINITY });

export const reportQuery = (id: string) => queryOptions({ queryKey: keys.report(id), queryFn: () => client.getReport(id) });

export const notificationsQuery = () => queryOptions({ queryKey: keys.notifications, queryFn: client.listNotifications });
/** Asked again by itself too: that a notice reached a page is told to nobody else. */
export const criticalResultsQuery = () => queryOptions({ queryKey: keys.criticalResults, queryFn: client.listCriticalResults, refetchInterval: 30_000 });
export const sitesQuery = () => queryOptions({ queryKey: ['sites'], queryFn: client.listSites });
export const usersQuery = () => queryOptions({ queryKey: ['users'], queryFn: client.listUsers });
export const nodesQuery = () => queryOptions({ queryKey: ['nodes'], queryFn: client.listNodes, refetchInterval: 15_000 });
export const withholdingQuery = () =>
  queryOptions({ queryKey: ['nodes', 'withheld'], queryFn: client.listWithholdingStudies, refetchInterval: 15_000 });
export const auditQuery = (limit: number) => queryOptions({ queryKey: ['audit', limit], queryFn: () => client.listAudit(limit) });
