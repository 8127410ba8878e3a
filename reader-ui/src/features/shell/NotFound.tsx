import { Link } from '@tanstack/react-router';
import { useStrings } from '../../strings/language.tsx';

export function NotFound() {
  const strings = useStrings();
  return (
    <main className="flex flex-col items-center gap-3 px-6 py-20">
      <h1 className="text-lg">{strings.notFound}</h1>
      <Link to="/" className="text-accent underline">
        {strings.common.back}
      </Link>
    </main>
  );
}
