import { useQueryClient } from '@tanstack/react-query';
import { useCallback, useEffect, useMemo, useState } from 'react';
import type { ReactNode } from 'react';
import { getSession, logOut } from '../../api/client.ts';
import { onSessionEnded } from '../../api/http.ts';
import { setCovered } from '../../api/presence.ts';
import type { Session } from '../../api/types.ts';
import { useStrings } from '../../strings/language.tsx';
import { Waiting } from '../../ui/Waiting.tsx';
import { LoginPage } from './LoginPage.tsx';
import { isLeftLocked, rememberLock } from './lock-flag.ts';
import { LockScreen } from './LockScreen.tsx';
import { SessionContext } from './session-context.ts';
import { useIdle } from './use-idle.ts';

/** A ward computer left alone hides the patient after this long. */
const idleLockMs = 10 * 60 * 1000;

type State = { kind: 'asking' } | { kind: 'out' } | { kind: 'in'; session: Session; cover: null | 'locked' | 'expired' };

/**
 * Nothing of a patient is drawn above this. A locked or expired page keeps its unsaved text in memory, out of sight,
 * and gives it back only to the same person; anyone else, and every logout, starts from an empty page.
 */
export function SessionGate({ children }: { children: ReactNode }) {
  const strings = useStrings();
  const queries = useQueryClient();
  const [state, setState] = useState<State>({ kind: 'asking' });

  useEffect(() => {
    let gone = false;
    getSession().then(
      (session) => !gone && setState({ kind: 'in', session, cover: isLeftLocked() ? 'locked' : null }),
      () => !gone && setState({ kind: 'out' }),
    );
    onSessionEnded(() => setState((now) => (now.kind === 'in' && !now.cover ? { ...now, cover: 'expired' } : now)));
    // A page taken back out of the browser's memory may belong to someone who has logged out.
    const shown = (event: PageTransitionEvent) => event.persisted && location.reload();
    addEventListener('pageshow', shown);
    return () => {
      gone = true;
      removeEventListener('pageshow', shown);
    };
  }, []);

  const lock = useCallback(() => {
    rememberLock(true);
    setState((now) => (now.kind === 'in' && !now.cover ? { ...now, cover: 'locked' } : now));
  }, []);
  const leave = useCallback(() => {
    void logOut()
      .catch(() => undefined)
      .finally(() => location.replace('/'));
  }, []);
  const covered = state.kind === 'in' && state.cover !== null;
  useEffect(() => setCovered(covered), [covered]);
  useIdle(idleLockMs, state.kind === 'in' && !covered, lock);

  const session = state.kind === 'in' ? state.session : null;
  const control = useMemo(() => (session ? { session, covered, lock, logOut: leave } : null), [session, covered, lock, leave]);

  const entered = (back: Session) => {
    rememberLock(false);
    setState({ kind: 'in', session: back, cover: null });
  };
  if (state.kind === 'asking') return <Waiting text={strings.common.loading} />;
  if (state.kind === 'out' || !control) return <LoginPage onDone={entered} />;
  const resume = (back: Session) => {
    rememberLock(false);
    if (back.user.id !== control.session.user.id) return location.replace('/');
    setState({ kind: 'in', session: back, cover: null });
    void queries.invalidateQueries();
  };
  return (
    <SessionContext value={control}>
      <div hidden={covered} inert={covered} className="h-full">
        {children}
      </div>
      {state.cover && <LockScreen why={state.cover} login={control.session.user.login} onDone={resume} onLeave={leave} />}
    </SessionContext>
  );
}
