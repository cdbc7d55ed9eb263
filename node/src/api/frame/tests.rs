use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::os::fd::AsFd;

use proptest::prelude::*;

use super::*;

fn pair() -> (FrameWriter, FrameReader) {
    let (near, far) = UnixStream::pair().unwrap();
    (FrameWriter { socket: near }, FrameReader { socket: far })
}

/// What a reader makes of these bytes, up to its first error or their end.
fn read_all(bytes: &[u8]) -> Result<Vec<Frame>, FrameError> {
    let (mut writer, mut reader) = pair();
    let bytes = bytes.to_vec();
    let sender = std::thread::spawn(move || {
        // The reader may refuse the rest.
        let _ = writer.socket.write_all(&bytes);
    });
    let mut frames = Vec::new();
    let result = loop {
        match reader.receive() {
            Ok(Some((frame, _))) => frames.push(frame),
            Ok(None) => break Ok(frames),
            Err(error) => break Err(error),
        }
    };
    drop(reader);
    sender.join().unwrap();
    result
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_sent_arrives(payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..3000), 0..8)) {
        let (mut writer, mut reader) = pair();
        let sent = payloads.clone();
        let sender = std::thread::spawn(move || {
            for payload in sent {
                writer.message(&payload, None).unwrap();
                writer.frame(KIND_DATA, &payload, None, SendFlags::empty()).unwrap();
            }
        });
        for payload in payloads {
            let (json, _) = reader.receive().unwrap().unwrap();
            prop_assert_eq!(json.message::<Vec<u8>>().unwrap(), payload.clone());
            let (data, _) = reader.receive().unwrap().unwrap();
            prop_assert_eq!(data, Frame::Data(payload.into()));
        }
        sender.join().unwrap();
        prop_assert!(reader.receive().unwrap().is_none());
    }

    #[test]
    fn any_bytes_end_in_frames_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(frames) = read_all(&bytes) {
            let total: usize = frames
                .iter()
                .map(|frame| match frame { Frame::Json(b) | Frame::Data(b) => HEADER + b.len() })
                .sum();
            prop_assert_eq!(total, bytes.len());
        }
    }
}

#[test]
fn a_data_payload_of_the_largest_size_passes_and_one_byte_more_is_cut() {
    let (mut writer, mut reader) = pair();
    let data = vec![7; MAX_DATA + 1];
    let sender = std::thread::spawn(move || writer.data(&data).unwrap());
    let (first, _) = reader.receive().unwrap().unwrap();
    let (second, _) = reader.receive().unwrap().unwrap();
    sender.join().unwrap();
    assert_eq!(first, Frame::Data(vec![7; MAX_DATA].into()));
    assert_eq!(second, Frame::Data(vec![7].into()));
}

#[test]
fn lengths_over_the_bound_are_refused_before_their_bytes_come() {
    for (kind, limit) in [(KIND_JSON, MAX_JSON), (KIND_DATA, MAX_DATA)] {
        for length in [limit + 1, u32::MAX as usize] {
            let mut bytes = vec![kind];
            bytes.extend(u32::try_from(length).unwrap().to_le_bytes());
            let error = read_all(&bytes).unwrap_err();
            assert!(matches!(error, FrameError::TooLong { length: l, .. } if l == length));
        }
    }
    assert!(matches!(
        read_all(&[9, 0, 0, 0, 0]),
        Err(FrameError::Kind { kind: 9 })
    ));
}

#[test]
fn a_cut_frame_is_not_an_end() {
    let error = read_all(&[KIND_JSON, 4, 0, 0, 0, b'1']).unwrap_err();
    assert!(error.is_gone(), "{error}");
    assert!(read_all(&[KIND_JSON, 4]).unwrap_err().is_gone());
}

#[test]
fn a_message_too_long_is_not_sent() {
    let (mut writer, _reader) = pair();
    let error = writer.message(&"x".repeat(MAX_JSON), None).unwrap_err();
    assert!(matches!(
        error,
        FrameError::TooLong {
            limit: MAX_JSON,
            ..
        }
    ));
}

#[test]
fn descriptors_arrive_with_their_frame() {
    let (mut writer, mut reader) = pair();
    for text in ["first", "second"] {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file.seek(SeekFrom::Start(0)).unwrap();
        writer.message(&"plain", None).unwrap();
        writer.message(&text, Some(file.as_fd())).unwrap();
    }
    for text in ["first", "second"] {
        assert!(reader.receive().unwrap().unwrap().1.is_none());
        let (frame, descriptor) = reader.receive().unwrap().unwrap();
        assert_eq!(frame.message::<String>().unwrap(), text);
        let mut read = String::new();
        let descriptor = descriptor.unwrap();
        let flags = rustix::io::fcntl_getfd(&descriptor).unwrap();
        assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
        File::from(descriptor).read_to_string(&mut read).unwrap();
        assert_eq!(read, text);
    }
}

#[test]
fn more_than_one_descriptor_is_refused() {
    let (writer, mut reader) = pair();
    let file = tempfile::tempfile().unwrap();
    for count in 2..5 {
        let descriptors = vec![file.as_fd(); count];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        assert!(control.push(SendAncillaryMessage::ScmRights(&descriptors)));
        let bytes = [KIND_JSON, 1, 0, 0, 0];
        let parts = [IoSlice::new(&bytes)];
        sendmsg(&writer.socket, &parts, &mut control, SendFlags::empty()).unwrap();
        assert!(
            matches!(reader.receive(), Err(FrameError::Descriptors { .. })),
            "{count}"
        );
    }
}

#[test]
fn a_full_socket_drops_what_may_be_dropped_and_no_more() {
    let (mut writer, mut reader) = pair();
    let mut sent = 0_u32;
    while writer.try_message(&sent).unwrap() {
        sent += 1;
    }
    assert!(sent > 0);
    for expected in 0..sent {
        assert_eq!(
            reader
                .receive()
                .unwrap()
                .unwrap()
                .0
                .message::<u32>()
                .unwrap(),
            expected
        );
    }
    assert!(writer.try_message(&"again").unwrap());
}

#[test]
fn a_reader_that_is_gone_is_noticed() {
    let (mut writer, reader) = pair();
    drop(reader);
    assert!(writer.try_message(&"anybody?").unwrap_err().is_gone());
    assert!(writer.message(&"anybody?", None).unwrap_err().is_gone());
}
