import { Link, Outlet } from '@tanstack/react-router';
import { useMemo, useState } from 'react';
import { useActions } from '../../commands/actions.ts';
import { useKeyboard } from '../../commands/use-keyboard.ts';
import { clock } from '../../lib/dates.ts';
import { useServerTime } from '../../lib/use-tick.ts';
import { useSetLanguage, useStrings } from '../../strings/language.tsx';
import { Badge } from '../../ui/Badge.tsx';
import { Banner } from '../../ui/Banner.tsx';
import { Button } from '../../ui/Button.tsx';
import { Mark } from '../../ui/Mark.tsx';
import type { LiveState } from '../live/live-context.ts';
import { useLive } from '../live/live-context.ts';
import { useSession } from '../session/session-context.ts';
import { HelpDialog } from './HelpDialog.tsx';
import { menuOf } from './menu.ts';
import { useUnreadCount } from './use-unread-count.ts';

/** The frame of every page: who and where one is, the menu, the state of the line. */
export function Shell() {
  const strings = useStrings();
  const setLanguage = useSetLanguage();
  const { session, lock, logOut } = useSession();
  const { connected, lostSinceMs } = useLive();
  const [help, setHelp] = useState(false);
  const unread = useUnreadCount();
  useKeyboard();
  const page = useMemo(() => ({ help: () => setHelp(true), lock }), [lock]);
  useActions('page', page);
  const { user } = session;
  return (
    <div className="flex h-full flex-col">
      <a href="#content" className="sr-only focus:not-sr-only focus:absolute focus:z-50 focus:bg-accent focus:px-3 focus:py-1 focus:text-void">
        {strings.nav.skip}
      </a>
      <header className="flex h-11 shrink-0 items-center gap-4 border-b border-line bg-panel px-3">
        <div className="flex items-center gap-2">
          <Mark className="size-6" />
          <span className="font-semibold tracking-wide">Tancho</span>
        </div>
        <nav aria-label={strings.nav.label} className="flex items-center gap-0.5">
          {menuOf(user.role).map(({ to, label, counts }) => (
            <Link
              key={to}
              to={to}
              className="flex items-center gap-1.5 rounded-md px-2.5 py-1 text-sm text-soft hover:bg-hover hover:text-text"
              activeProps={{ className: 'bg-raised !text-text', 'aria-current': 'page' }}
            >
              {label(strings)}
              {counts && unread > 0 && <Badge tone="accent">{strings.requests.unread(unread)}</Badge>}
            </Link>
          ))}
        </nav>
        <div className="ml-auto flex items-center gap-1">
          {user.role !== 'auditor' && <LineState connected={connected} lostSinceMs={lostSinceMs} />}
          <span className="mx-2 hidden max-w-80 truncate text-xs text-muted lg:inline">
            <bdi className="text-soft">{user.name}</bdi> {strings.code(user.role)} / <bdi>{user.site.name}</bdi>
          </span>
          <Button kind="quiet" small onClick={() => setHelp(true)}>
            {strings.nav.help} <kbd className="text-muted">?</kbd>
          </Button>
          <Button kind="quiet" small lang={strings.language === 'ja' ? 'en' : 'ja'} onClick={() => setLanguage(strings.language === 'ja' ? 'en' : 'ja')}>
            {strings.session.switchLanguage}
          </Button>
          <Button kind="quiet" small onClick={lock}>
            {strings.session.lockNow}
          </Button>
          <Button small onClick={logOut}>
            {strings.session.logOut}
          </Button>
        </div>
      </header>
      {connected === false && <OfflineBanner sinceMs={lostSinceMs} />}
      <div id="content" className="min-h-0 flex-1">
        <Outlet />
      </div>
      {help && <HelpDialog onClose={() => setHelp(false)} />}
    </div>
  );
}

/** Never "connected" while it is not, and since when. */
export function LineState({ connected, lostSinceMs }: Pick<LiveState, 'connected' | 'lostSinceMs'>) {
  const { live } = useStrings();
  const lost = connected === false;
  return (
    <span className={`flex items-center gap-1.5 text-xs ${lost ? 'font-semibold text-orange' : 'text-muted'}`}>
      <span aria-hidden className={`size-2 rounded-full ${connected ? 'bg-green' : 'animate-pulse bg-orange'}`} />
      <span role="status">{lost ? live.lost : connected ? live.connected : live.connecting}</span>
      {lost && lostSinceMs !== null && <LostFor sinceMs={lostSinceMs} />}
    </span>
  );
}

/** A line that comes back by itself within this time moves nothing on the page; the state in the corner tells it at once. */
const offlineAfterMs = 6_000;

export function OfflineBanner({ sinceMs }: { sinceMs: number | null }) {
  const { live } = useStrings();
  const now = useServerTime();
  if (sinceMs !== null && now - sinceMs < offlineAfterMs) return null;
  return (
    <div className="px-3 pt-2">
      <Banner tone="warning">{live.offline}</Banner>
    </div>
  );
}

/** Its own component: it ticks, and is not read out again each time. */
function LostFor({ sinceMs }: { sinceMs: number }) {
  return <span className="font-mono">{clock(Math.max(0, useServerTime() - sinceMs))}</span>;
}
