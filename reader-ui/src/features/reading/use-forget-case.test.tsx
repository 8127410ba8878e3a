// @vitest-environment happy-dom
import { useQuery } from '@tanstack/react-query';
import { act, StrictMode } from 'react';
import { expect, it, vi } from 'vitest';
import { keys, requestQuery, studyInstancesQuery } from '../../api/queries.ts';
import { exampleRequest } from '../../testing/example-request.ts';
import { render } from '../../testing/render.tsx';
import { useForgetCase } from './use-forget-case.ts';

vi.mock('../../api/client.ts', () => ({ getReadingRequest: vi.fn(() => new Promise(() => undefined)), listStudyInstances: vi.fn(() => new Promise(() => undefined)) }));

function Case() {
  const { data } = useQuery(requestQuery('q'));
  useQuery(studyInstancesQuery(data?.study.id ?? ''));
  useForgetCase('q', data?.study.id ?? null);
  return <p>{data?.state}</p>;
}

it('keeps the case on screen up to date, also once its first image has come, and forgets it when it is left', async () => {
  const withoutImages = { ...exampleRequest, state: 'requested', study: { ...exampleRequest.study, id: null } };
  const shown = (
    <StrictMode>
      <Case />
    </StrictMode>
  );
  const { page, queries, show, leave } = await render(shown, { data: [[keys.request('q'), withoutImages], [keys.study('s'), { series: [] }]] });
  const now = (patch: object) =>
    act(async () => {
      queries.setQueryData(keys.request('q'), { ...exampleRequest, ...patch });
      await new Promise((resolve) => setTimeout(resolve, 0));
    });
  await now({ state: 'readable' });
  expect(page.textContent).toBe('readable');
  await now({ state: 'returned' });
  expect(page.textContent).toBe('returned');
  await show(null);
  await vi.waitFor(() => expect(queries.getQueryData(keys.request('q'))).toBeUndefined());
  await vi.waitFor(() => expect(queries.getQueryData(keys.study('s'))).toBeUndefined());
  leave();
});
