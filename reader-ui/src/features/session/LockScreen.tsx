import type { Session } from '../../api/types.ts';
import { useStrings } from '../../strings/language.tsx';
import { Button } from '../../ui/Button.tsx';
import { Mark } from '../../ui/Mark.tsx';
import { LoginForm } from './LoginForm.tsx';

interface Props {
  why: 'locked' | 'expired';
  login: string;
  onDone(session: Session): void;
  onLeave(): void;
}

export function LockScreen({ why, login, onDone, onLeave }: Props) {
  const { session } = useStrings();
  return (
    <main className="fixed inset-0 z-50 flex flex-col items-center justify-center gap-5 bg-ground px-4">
      <Mark className="size-10" />
      <div className="text-center">
        <h1 className="text-xl font-semibold">{why === 'locked' ? session.locked : session.expired}</h1>
        <p className="mt-1 text-sm text-muted">{why === 'locked' ? session.lockedWhy : session.expiredWhy}</p>
      </div>
      <div className="panel w-full max-w-sm p-6">
        <LoginForm fixedLogin={login} submitLabel={session.unlock} onDone={onDone} />
      </div>
      <Button kind="quiet" small onClick={onLeave}>
        {session.otherPerson}
      </Button>
    </main>
  );
}
