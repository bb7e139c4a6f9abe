import { Mic, Square } from "lucide-react";
import { useEffect, useRef, useState } from "react";
import { Button } from "~/shared/components/Button";
import { toast } from "~/shared/components/Toasts";
import { useT } from "~/shared/i18n";

const clock = (seconds: number): string => `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;

export function Recorder({ onSound }: { onSound: (sound: Blob) => void }) {
  const t = useT();
  const [seconds, setSeconds] = useState<number | null>(null);
  const recorder = useRef<MediaRecorder>(undefined);
  useEffect(() => {
    if (seconds === null) return;
    const timer = setTimeout(() => setSeconds(seconds + 1), 1000);
    return () => clearTimeout(timer);
  }, [seconds]);
  useEffect(() => () => recorder.current?.stream.getTracks().forEach((track) => track.stop()), []);

  const start = async (): Promise<void> => {
    try {
      const microphone = await navigator.mediaDevices.getUserMedia({ audio: true });
      const parts: Blob[] = [];
      const made = new MediaRecorder(microphone);
      made.ondataavailable = ({ data }) => parts.push(data);
      made.onstop = () => {
        for (const track of microphone.getTracks()) track.stop();
        setSeconds(null);
        onSound(new Blob(parts, { type: made.mimeType }));
      };
      made.start();
      recorder.current = made;
      setSeconds(0);
    } catch {
      toast(t("audio.noMicrophone"), { bad: true });
    }
  };
  if (seconds !== null) {
    return (
      <Button kind="danger" icon={Square} onClick={() => recorder.current?.stop()}>
        {t("audio.stopRecording")} <span className="tabular-nums">{clock(seconds)}</span>
      </Button>
    );
  }
  return <Button icon={Mic} onClick={() => void start()}>{t("audio.record")}</Button>;
}
